"""Probes: what machines ask: does it live, does it work, and in which numbers."""

import time
from collections.abc import Callable
from http import HTTPStatus

from stocksync import __version__
from stocksync.metrics import CONTENT_TYPE, Metrics
from stocksync.model import StocksyncError
from stocksync.web import documents
from stocksync.web.answers import Answer, Refusal, answer, refusal_of
from stocksync.web.desk import Glance
from stocksync.web.routes import Call

# A shorter interval than anybody scrapes at.
EXPOSED_SECONDS = 1.0


class Probes:
    """`why_not_ready` gives the reason why this daemon should not be counted on, or None."""

    def __init__(
        self, *, glance: Glance, metrics: Metrics, why_not_ready: Callable[[], str | None]
    ) -> None:
        self._glance = glance
        self._metrics = metrics
        self._why_not_ready = why_not_ready
        self._exposed: Answer | None = None
        self._exposed_at = 0.0

    async def health(self, _: Call) -> Answer:
        """The process lives: it answers."""
        return answer({"status": "alive", "version": __version__})

    async def ready(self, _: Call) -> Answer:
        """Whether it works; an outage of the service is no reason to say no."""
        if (why := self._why_not_ready()) is not None:
            return answer(documents.not_ready(why), status=HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            document = documents.ready(await self._glance.standing())
        except StocksyncError as error:
            document = documents.not_ready(str(refusal_of(error)))
        except Refusal as refusal:
            document = documents.not_ready(str(refusal))
        is_ready = document["is_ready"]
        return answer(
            document, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        )

    async def metrics(self, _: Call) -> Answer:
        """All numbers; without the database those of this daemon, worth knowing all the more."""
        if self._exposed is not None and time.monotonic() - self._exposed_at < EXPOSED_SECONDS:
            return self._exposed
        standing, is_database_away = None, False
        try:
            standing = await self._glance.standing()
        except StocksyncError:
            is_database_away = True
        except Refusal:
            # It takes long; whether it is away is not known yet.
            pass
        text = self._metrics.exposition(standing, is_database_away=is_database_away)
        self._exposed = Answer(body=text, content_type=CONTENT_TYPE)
        self._exposed_at = time.monotonic()
        return self._exposed
