"""A stand-in for the microservice: its answers and quirks, over real HTTP, with faults to order."""

import sys

try:
    from stocksync.demo.microservice.behaviour import FlagRow, Microservice, token_not_found
    from stocksync.demo.microservice.control import Control
    from stocksync.demo.microservice.faults import Delivery, Effect, Fault, Matches
    from stocksync.demo.microservice.record import Received, Record
    from stocksync.demo.microservice.server import StandIn
except ModuleNotFoundError as error:
    # Python imports this before `__main__`, which therefore could not say it: while Python looks
    # for the module to run, the command line begins with "-m".
    if sys.argv[:1] == ["-m"]:
        sys.exit(f"the stand-in needs {error.name}: pip install 'stocksync[demo]'")
    raise

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
