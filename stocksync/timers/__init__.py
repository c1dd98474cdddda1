"""Timers: what is done once per interval over all daemons, and outlives each of them."""

from stocksync.timers.timer import Timer
from stocksync.timers.timers import Look, Timers, Turn

__all__ = ["Look", "Timer", "Timers", "Turn"]
