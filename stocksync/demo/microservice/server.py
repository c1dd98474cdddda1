"""The stand-in over HTTP: one call at a time, with faults on the way and a record of it all."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace

from aiohttp import web

from stocksync.demo.microservice.behaviour import Microservice, Reply
from stocksync.demo.microservice.calls import Call, call_of
from stocksync.demo.microservice.delivery import deliver
from stocksync.demo.microservice.faults import Effect, Fault
from stocksync.demo.microservice.listener import IDLE_SECONDS, Listener
from stocksync.demo.microservice.record import Received, Record

NO_EFFECT = Effect()


class StandIn:
    """A microservice on a loopback port: `start`, call `url`, `aclose`.

    `service_seconds` is how long it works on a call, and may be changed at any time.
    """

    def __init__(
        self,
        microservice: Microservice,
        *,
        service_seconds: float = 0.0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.microservice = microservice
        self.service_seconds = service_seconds
        self.record = Record()
        self._faults: list[_ActiveFault] = []
        # The service's handlers block: whatever one of them waits for, all wait for.
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._listener = Listener(self._serve, idle_seconds=idle_seconds)

    @property
    def url(self) -> str:
        """The base URL; it stays the same while the stand-in does not listen."""
        return self._listener.url

    @property
    def is_listening(self) -> bool:
        """False: connections are refused."""
        return self._listener.is_open

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones too."""
        return self._listener.connections

    async def start(self, *, port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        self._listener.take_port(port)
        await self._listener.open()

    async def stop_listening(self) -> None:
        """Go away as a killed process does: calls in flight are lost, new ones are refused."""
        await self._listener.close()

    async def listen(self) -> None:
        """Come back after `stop_listening`."""
        await self._listener.open()

    async def aclose(self) -> None:
        """Stop for good."""
        await self._listener.close()
        self._listener.give_port_back()

    def inject(self, fault: Fault) -> None:
        """Switch a fault on; of several that take a call, the one switched on first does."""
        self._faults.append(_ActiveFault(fault))

    def lift(self, fault: Fault | None = None) -> None:
        """Switch a fault off, or all of them; what hangs in it goes on at once."""
        for active in [a for a in self._faults if fault in (None, a.fault)]:
            self._faults.remove(active)
            active.lifted.set()

    async def until(self, condition: Callable[[], bool], *, timeout_seconds: float = 30.0) -> None:
        """Wait for a condition on record or flags; TimeoutError when it does not come about."""
        async with asyncio.timeout(timeout_seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        call = call_of(
            method=request.method,
            target=request.raw_path,
            authorization=request.headers.get("Authorization", ""),
            body=await request.read(),
        )
        is_patch = call.route == "stock_status"
        with self.record.of(call) if is_patch else nullcontext() as received:
            self._changed.set()
            effect = await self._effect_on(call)
            reply = await self._reply(call, effect, received)
        self._changed.set()
        return await deliver(request, reply, effect.delivery)

    async def _effect_on(self, call: Call) -> Effect:
        active = next((a for a in self._faults if a.takes(call)), None)
        if active is None:
            return NO_EFFECT
        active.taken += 1
        effect = active.fault.effect
        if effect.hang_seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(active.lifted.wait(), effect.hang_seconds)
        return effect

    async def _reply(self, call: Call, effect: Effect, received: Received | None) -> Reply:
        reply = Reply(status=effect.status or 0, content=effect.content, headers=effect.headers)
        if effect.status is None or effect.is_applied:
            done = await self._work(call, received)
            if effect.status is None:
                reply = replace(done, headers={**done.headers, **effect.headers})
        if received:
            received.status = reply.status
        return reply

    async def _work(self, call: Call, received: Received | None) -> Reply:
        async with self._turn:
            if self.service_seconds:
                await asyncio.sleep(self.service_seconds)
            done = self.microservice.answer(call)
            if received and done.status == web.HTTPOk.status_code:
                received.applied_at = time.monotonic()
            if done.delay_seconds:
                await asyncio.sleep(done.delay_seconds)
        return done


class _ActiveFault:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.taken = 0
        self.lifted = asyncio.Event()

    def takes(self, call: Call) -> bool:
        is_used_up = self.fault.first is not None and self.taken >= self.fault.first
        return not is_used_up and self.fault.matches.takes(call)
