"""Outcomes without a service: claim, and settle with what a test says came of it."""

from stocksync.backoff import Backoff
from stocksync.model import Cause, Done, Outcome, Push, Refused, Retry
from stocksync.settlement import Rules, Settlement
from stocksync.store import Place, Store

RULES = Rules(
    backoff=Backoff(initial_seconds=60, max_seconds=3600, jitter=False), max_retries=5, by="a test"
)
DONE = Done()
# The order's own failure, which always counts, and one of the environment.
RETRY = Retry(reason="500 Internal Server Error", cause=Cause.OPERATION, http_status=500)
AWAY = Retry(reason="503 Service Unavailable", cause=Cause.ENVIRONMENT, http_status=503)
TIMEOUT = Retry(reason="no answer within 10 s", cause=Cause.ENVIRONMENT, is_ambiguous=True)
REFUSED = Refused(reason="token_id: not a UUID", http_status=422)


def settlement(push: Push, outcome: Outcome = DONE, *, rules: Rules = RULES) -> Settlement:
    return rules.settlement(push, outcome, duration_ms=7)


async def claim(
    store: Store, limit: int = 100, *, lease_seconds: float = 60, place: Place | None = None
) -> list[Push]:
    """Claim with a look at everything, unless said otherwise."""
    taken = await store.claim(limit=limit, lease_seconds=lease_seconds, place=place or Place())
    return list(taken.pushes)


async def settle(store: Store, pushes: list[Push], outcome: Outcome = DONE) -> int:
    """Settle all with one outcome; gives the number of lost rows."""
    settled = await store.settle([settlement(push, outcome) for push in pushes])
    return len(settled.lost)
