"""The web at work in this process, and one who asks it; each answer is held to the document."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator
from yarl import URL

from stocksync.database import Database
from stocksync.delivery import Names
from stocksync.metrics import Metrics
from stocksync.model import ServiceUnavailable
from stocksync.operations import Operations
from stocksync.timers import Timers
from stocksync.verdict import Limits
from stocksync.web import Web
from stocksync.web.routes import Route
from stocksync.web.table import BASE

TOKEN = "a-token-that-nobody-guesses"


@dataclass
class Daemon:
    """What the web is told of the daemon around it, and what it tells."""

    why_not_ready: str | None = None
    wakes: int = 0

    def wake(self) -> None:
        self.wakes += 1


@dataclass
class Service:
    """Whom the daemon asks for the accounts' names; without any it does not answer."""

    names: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def accounts(self) -> dict[str, str]:
        self.asked += 1
        await self.answers.wait()
        if not self.names:
            raise ServiceUnavailable("refused")
        return self.names


@dataclass(frozen=True, kw_only=True)
class Answered:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.text)

    @property
    def detail(self) -> str:
        detail = self.document["detail"]
        assert isinstance(detail, str)
        return detail


@dataclass(kw_only=True)
class Asker:
    web: Web
    daemon: Daemon
    service: Service
    metrics: Metrics
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web.port}"

    async def get(
        self, path: str, *, token: str | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        return await self.ask("GET", path, token=token, headers=headers)

    async def act(self, method: str, path: str) -> Answered:
        return await self.ask(method, path, token=TOKEN)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """Ask; a path without a leading slash is one of the API."""
        path = path if path.startswith("/") else f"{BASE}/{path}"
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.session.request(
            # As it is, not made prettier on the way.
            method, URL(self.url + path, encoded=True), headers=sent
        ) as response:  # fmt: skip
            answered = Answered(
                status=response.status,
                headers=dict(response.headers),
                text=await response.text(),
            )
        if method != "HEAD":
            self._hold_to_the_document(method, path, answered)
        return answered

    def _hold_to_the_document(self, method: str, path: str, answered: Answered) -> None:
        document = json.loads(self.web._openapi.body)
        route = _route(self.web, method, path.partition("?")[0])
        if route is None:
            assert answered.status in {404, 405}
            return
        responses = document["paths"][route.path][method.lower()]["responses"]
        assert str(answered.status) in responses, f"{method} {path} answers {answered}"
        [(kind, content)] = responses[str(answered.status)]["content"].items()
        assert answered.headers["Content-Type"].startswith(kind)
        if "schema" in content:
            schema = {**content["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(answered.document)


def _route(web: Web, method: str, path: str) -> Route | None:
    patterns = ((route, re.sub(r"\{\w+\}", "[^/]*", route.path)) for route in web._routes)
    return next(
        (r for r, pattern in patterns if r.method == method and re.fullmatch(pattern, path)), None
    )


def metrics() -> Metrics:
    """Of a daemon that does nothing."""
    return Metrics(
        version="1.2.3", in_flight=lambda: 0, push_limit=lambda: 8, is_listening=lambda: True
    )


@asynccontextmanager
async def asking(
    database: Database,
    *,
    host: str = "127.0.0.1",
    token: str | None = TOKEN,
    limits: Limits | None = None,
) -> AsyncIterator[Asker]:
    """Start the web at a free port; it stops at the end."""
    daemon, service, counted = Daemon(), Service(), metrics()
    web = Web(
        host=host,
        port=0,
        token=token,
        database=database,
        operations=Operations(database=database),
        timers=Timers(database=database, by="a test"),
        metrics=counted,
        names=Names(accounts=service.accounts),
        limits=limits or Limits(),
        why_not_ready=lambda: daemon.why_not_ready,
        wake=daemon.wake,
    )
    await web.start()
    async with aiohttp.ClientSession() as session:
        try:
            yield Asker(web=web, daemon=daemon, service=service, metrics=counted, session=session)
        finally:
            await web.close()
