"""Relay: claim due orders, push them, settle what came of it."""

from stocksync.relay.claiming import Bell
from stocksync.relay.metering import Meter
from stocksync.relay.relay import Pusher, Relay
from stocksync.relay.settling import Tally

__all__ = ["Bell", "Meter", "Pusher", "Relay", "Tally"]
