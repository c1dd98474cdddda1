"""The microservice as a room of ours: push a flag, read a flag, ask after its health."""

from stocksync.gateway.answers import Health
from stocksync.gateway.client import Gateway
from stocksync.gateway.credentials import Credentials, GivenToken, MintedToken

__all__ = ["Credentials", "Gateway", "GivenToken", "Health", "MintedToken"]
