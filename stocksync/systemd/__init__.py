"""systemd as a room of ours: tells the service manager how we are, and prints our units."""

from stocksync.systemd.notifier import Notifier
from stocksync.systemd.units import Unit, unit

__all__ = ["Notifier", "Unit", "unit"]
