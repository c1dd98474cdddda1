"""A stand-in for the microservice: its answers and quirks, over real HTTP, with faults to order."""

from stocksync.demo.microservice.behaviour import FlagRow, Microservice, token_not_found
from stocksync.demo.microservice.control import Control
from stocksync.demo.microservice.faults import Delivery, Effect, Fault, Matches
from stocksync.demo.microservice.record import Received, Record
from stocksync.demo.microservice.server import StandIn

__all__ = [
    "Control",
    "Delivery",
    "Effect",
    "Fault",
    "FlagRow",
    "Matches",
    "Microservice",
    "Received",
    "Record",
    "StandIn",
    "token_not_found",
]
