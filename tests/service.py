"""The tests' microservice: a stand-in in this process, on a free loopback port."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from stocksync.demo.microservice import Microservice, StandIn
from stocksync.demo.microservice.listener import IDLE_SECONDS

SECRET: Final = "the secret that order system and microservice share"
USER_ID: Final = "user-1"
TOKEN_ID: Final = "11111111-1111-4111-8111-111111111111"
OTHER_TOKEN_ID: Final = "22222222-2222-4222-8222-222222222222"


@asynccontextmanager
async def running_stand_in(
    *,
    accounts: Mapping[str, str] | None = None,
    service_seconds: float = 0.0,
    idle_seconds: float = IDLE_SECONDS,
) -> AsyncIterator[StandIn]:
    """Run a stand-in that signs with SECRET and knows TOKEN_ID and OTHER_TOKEN_ID of USER_ID."""
    known = {TOKEN_ID: USER_ID, OTHER_TOKEN_ID: USER_ID} if accounts is None else accounts
    microservice = Microservice(secret=SECRET, accounts=known)
    stand_in = StandIn(microservice, service_seconds=service_seconds, idle_seconds=idle_seconds)
    await stand_in.start()
    try:
        yield stand_in
    finally:
        await stand_in.aclose()
