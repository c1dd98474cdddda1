"""`status --watch` while the database is away: it says so, and goes on by itself."""

import asyncio
from collections.abc import Callable

import pytest

from tests.faults.conftest import through
from tests.faults.proxy import Proxy
from tests.terminals import Terminal, terminal


async def until(shown: Terminal, holds: Callable[[list[str]], bool]) -> list[str]:
    """Read until a frame is so; gives it. The proxy goes on meanwhile, in this loop."""
    await asyncio.to_thread(shown.until, lambda shown: bool(shown.frame) and holds(shown.frame))
    return shown.frame


def is_of_now(frame: list[str]) -> bool:
    return frame[0].startswith("OK  ")


@pytest.mark.parametrize(
    ("fault", "end", "said"),
    [
        ("refuse", "listen", "cannot be reached"),
        ("freeze", "thaw", "the database has not answered for"),
    ],
)
async def test_a_database_that_is_away_is_said_and_its_return_seen(
    dsn: str, way_to_database: Proxy, fault: str, end: str, said: str
) -> None:
    way = through(way_to_database, dsn)
    with terminal("status", "--watch", DATABASE_URL=way) as shown:
        await until(shown, is_of_now)
        getattr(way_to_database, fault)()
        frame = await until(shown, lambda frame: said in frame[0])
        assert "seen" in frame[1]
        assert any(line.startswith("OK  ") for line in frame), "what was seen last stays"
        ended = getattr(way_to_database, end)()
        if ended is not None:
            await ended
        await until(shown, is_of_now)
