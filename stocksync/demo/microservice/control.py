"""The stand-in's control over HTTP, for those in another process: look, and change things.

It has a port of its own, so that a service that does not listen can be told to listen again.
`GET /_control?since=N` gives the record from the Nth PATCH on, and the flags; `POST /_control`
takes a JSON object of any of the verbs in `Control.VERBS`, done in the order they are given.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from stocksync.demo.microservice.faults import Fault
from stocksync.demo.microservice.listener import Listener
from stocksync.demo.microservice.server import StandIn

PATH = "/_control"


class Control:
    """The control of one stand-in: `start`, call `url`, `aclose`."""

    VERBS = (
        "inject",  # list of faults: {"effect": {...}, "matches": {...}, "first": N}
        "lift",  # anything: all faults
        "forget",  # anything: the record so far
        "listening",  # true, false
        "service_seconds",
        "accounts",  # {token id: user id}, added to those known
        "orders",  # {token id: [order id, newest first]}, for the list
        "database",  # connected, disconnected, error
        "leaked_connections",
    )

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._listener = Listener(self._serve)

    @property
    def url(self) -> str:
        """Where to GET and POST."""
        return self._listener.url + PATH

    async def start(self, *, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        self._listener.take_port(port)
        await self._listener.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._listener.close()
        self._listener.give_port_back()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != PATH:
            return web.json_response({"detail": "Not Found"}, status=404)
        try:
            if request.method == "POST":
                await self._change(json.loads(await request.read()))
            since = int(request.query.get("since", "0"))
        except (ValueError, TypeError, AttributeError) as error:
            return web.json_response({"detail": str(error)}, status=422)
        return web.json_response(self._seen(since))

    async def _change(self, verbs: Mapping[str, Any]) -> None:
        if unknown := [verb for verb in verbs if verb not in self.VERBS]:
            raise ValueError(f"unknown: {', '.join(unknown)}")
        for verb, value in verbs.items():
            await self._do(verb, value)

    async def _do(self, verb: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        stand_in, microservice = self._stand_in, self._stand_in.microservice
        match verb:
            case "inject":
                for fault in value:
                    stand_in.inject(Fault.from_json(fault))
            case "lift":
                stand_in.lift()
            case "forget":
                stand_in.record.forget()
            case "listening":
                await (stand_in.listen() if value else stand_in.stop_listening())
            case "service_seconds":
                stand_in.service_seconds = float(value)
            case "accounts" | "orders":
                getattr(microservice, verb).update(value)
            case _:
                setattr(microservice, verb, value)

    def _seen(self, since: int) -> dict[str, Any]:
        record, flags = self._stand_in.record, self._stand_in.microservice.flags
        return {
            "received": [asdict(received) for received in record.received[since:]],
            "most_in_flight": record.most_in_flight,
            "overlaps": record.overlaps,
            "flags": [[*key, row.is_stock_updated] for key, row in flags.items()],
            "is_listening": self._stand_in.is_listening,
        }
