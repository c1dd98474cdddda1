"""Delivery: changes of state to on-call's chats, each told once, none lost."""

from stocksync.delivery.delivery import Delivery
from stocksync.delivery.names import Names

__all__ = ["Delivery", "Names"]
