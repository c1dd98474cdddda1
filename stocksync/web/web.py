"""Web itself: from a request on the wire to its answer."""

from collections.abc import Callable
from http import HTTPStatus

from stocksync.database import Database
from stocksync.metrics import Metrics
from stocksync.model import StocksyncError
from stocksync.operations import Operations
from stocksync.telemetry import get_logger
from stocksync.timers import Timers
from stocksync.verdict import Limits
from stocksync.web.access import Access
from stocksync.web.accounts import Accounts, Names
from stocksync.web.answers import Answer, Refusal, answer, refusal_of
from stocksync.web.api import Api
from stocksync.web.desk import Desk, Glance
from stocksync.web.openapi import openapi
from stocksync.web.parameters import parsed
from stocksync.web.probes import Probes
from stocksync.web.questions import Questions
from stocksync.web.request import Request
from stocksync.web.routes import Call, match
from stocksync.web.server import Server
from stocksync.web.table import routes

log = get_logger()


class Web:
    """Health, metrics, API and page at `host`:`port` (0: any free one; `port` says which).

    `token` None: nobody may act, nor read from elsewhere. `why_not_ready` gives the reason why
    this daemon should not be counted on now, or None. `wake`: something may be due at once.
    `names` are the accounts'; no answer waits for them.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        token: str | None,
        database: Database,
        operations: Operations,
        timers: Timers,
        metrics: Metrics,
        names: Names,
        limits: Limits,
        why_not_ready: Callable[[], str | None],
        wake: Callable[[], None],
    ) -> None:
        self._host = host
        self._access = Access(host=host, token=token)
        desk = Desk()
        self._accounts = Accounts(names=names)
        self._glance = Glance(
            desk=desk, operations=operations, accounts=self._accounts, limits=limits
        )
        self._routes = routes(
            Api(
                desk=desk,
                glance=self._glance,
                questions=Questions(database=database),
                operations=operations,
                timers=timers,
                accounts=self._accounts,
                wake=wake,
            ),
            Probes(glance=self._glance, metrics=metrics, why_not_ready=why_not_ready),
            describe=self._describe,
        )
        self._openapi = answer(openapi(self._routes))
        self._server = Server(self._serve, host=host, port=port)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    async def start(self) -> None:
        """Listen. Raises `SettingsError`: the port is taken, or there is no such address here."""
        await self._server.start()
        log.info("web.listening", host=self._host, port=self.port)

    async def load(self) -> None:
        """Make ready to answer: what a daemon that starts puts off until it has pushed."""
        await self._server.load()

    async def close(self) -> None:
        """Stop listening; twice is once."""
        await self._server.close()
        await self._glance.close()
        await self._accounts.close()

    async def _describe(self, _: Call) -> Answer:
        return self._openapi

    async def _serve(self, request: Request) -> Answer:
        found = match(self._routes, request.method, request.path)
        # Before the parameters: a stranger learns nothing of them.
        self._access.check(found.route.need, request.headers)
        values = {}
        if not found.route.is_lenient:
            values = parsed(found.route.parameters, path=found.path_values, query=request.query)
        try:
            return await found.route.serve(Call(values=values, peer=request.peer))
        except StocksyncError as error:
            raise refusal_of(error) from error
        except Refusal:
            raise
        except Exception as error:
            # Nobody outside is to read how it happened.
            log.exception("web.bug", path=found.route.path)
            raise Refusal(
                HTTPStatus.INTERNAL_SERVER_ERROR, "an error in stocksync itself; see its log"
            ) from error
