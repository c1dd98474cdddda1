"""Store: the transitions of rows, as the relay asks for them."""

from stocksync.store.store import REHEARSAL, RESCUE_LIMIT, Store
from stocksync.store.told import Claim, Counts, Place, Rescued, Settled

__all__ = ["REHEARSAL", "RESCUE_LIMIT", "Claim", "Counts", "Place", "Rescued", "Settled", "Store"]
