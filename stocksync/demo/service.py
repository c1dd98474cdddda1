"""The stand-in microservice as a process of its own, steered from here over its control route."""

import asyncio
import http.client
import json
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stocksync.demo.processes import Process, ProcessEnded

USER_ID = "demo"
# One call at a time, each this long: the pace of the real service with a few clients.
SERVICE_SECONDS = 0.004
_START_SECONDS = 20.0
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the service saw and holds."""

    patches: int
    """PATCHes that reached it, whatever it answered; refused connections are none."""
    overlaps: int
    """PATCHes that came while another one of the same order was not finished."""
    flags: dict[tuple[str, str], bool]
    """(token id, order id) → flag."""


@asynccontextmanager
async def running_service(*, accounts: Iterable[str], log: Path) -> AsyncIterator["Service"]:
    """Start the service, wait until it serves, and end it with the block."""
    secret = secrets.token_hex(32)
    named = [word for token in accounts for word in ("--account", f"{token}={USER_ID}")]
    with Process(
        "the stand-in microservice",
        "stocksync.demo.microservice",
        *("--secret", secret, "--service-seconds", str(SERVICE_SECONDS), *named),
        log=log,
    ) as process:
        line = await process.first_line(within_seconds=_START_SECONDS)
        try:
            said = json.loads(line)
        except ValueError:
            raise ProcessEnded(
                f"the stand-in microservice did not start\n{process.last_words()}"
            ) from None
        yield Service(
            process=process, url=said["url"], control_url=said["control_url"], secret=secret
        )


class Service:
    """A running stand-in; `url` and `secret` are for the daemon."""

    def __init__(self, *, process: Process, url: str, control_url: str, secret: str) -> None:
        self.url = url
        self.secret = secret
        self._process = process
        self._control_url = control_url

    def check(self) -> None:
        """Raise ProcessEnded if it does not run any more."""
        self._process.check()

    async def go_away(self) -> None:
        """From now on connections are refused; those that are open are reset."""
        await self._tell({"listening": False})

    async def come_back(self) -> None:
        """Take connections again, on the same port."""
        await self._tell({"listening": True})

    async def look(self, *, since: int = 0) -> Held:
        """Read what it saw and holds; the first `since` PATCHes are known and not sent again."""
        seen = await self._ask("GET", since=since)
        return Held(
            patches=since + len(seen["received"]),
            overlaps=len(seen["overlaps"]),
            flags={(token_id, order_id): flag for token_id, order_id, flag in seen["flags"]},
        )

    async def _tell(self, verbs: dict[str, Any]) -> None:
        # It answers with the record: none of it is wanted.
        await self._ask("POST", verbs, since=1_000_000)

    async def _ask(
        self, method: str, verbs: dict[str, Any] | None = None, *, since: int = 0
    ) -> Any:  # noqa: ANN401 - any JSON
        url = f"{self._control_url}?since={since}"
        return await asyncio.to_thread(_asked, url, method, verbs)


def _asked(url: str, method: str, verbs: dict[str, Any] | None) -> Any:  # noqa: ANN401 - any JSON
    # The library's plain client: no proxy of the environment gets in between.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        body = None if verbs is None else json.dumps(verbs)
        connection.request(method, f"{parts.path}?{parts.query}", body)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ProcessEnded(
            f"the stand-in microservice's control route gives no answer: {error}"
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ProcessEnded(f"the stand-in microservice's control route refuses: {text.decode()}")
    return json.loads(text)
