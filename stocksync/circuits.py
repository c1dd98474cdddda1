"""Circuits as all daemons share them: locked, fed with what pushes brought, and written back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from stocksync.circuit import AccountCircuit, Kind, Seen, ServiceCircuit
from stocksync.database import Connection, Database, Record
from stocksync.telemetry import get_logger
from stocksync.verdict import CircuitSeen

log = get_logger()

SERVICE = ""
"""The service's key among the circuits; an account's is its token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """How the circuits stand after they were fed."""

    is_service_open: bool
    open_accounts: frozenset[str]
    """Of those that were fed."""
    wants_health: bool
    """A failure followed no success: ask the service how it is, and tell `told`."""


class Circuits:
    """The service's and the accounts' circuits. `failures` is the setting CIRCUIT_FAILURES.

    Raises `DatabaseUnavailable`; nothing is changed then.
    """

    def __init__(self, *, database: Database, failures: int = 5) -> None:
        self._database = database
        self.failures = failures

    async def feed(self, pushes: Sequence[Seen]) -> Fed:
        """Tell the circuits what these pushes brought, in their order."""
        accounts = {push.account for push in pushes if push.kind in (Kind.PROVEN, Kind.TOKEN)}
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            service, by_account = await self._locked(connection, accounts)
            before = (service, dict(by_account))
            for push in pushes:
                service = service.fed(push, failures=self.failures)
                if not service.is_open and push.account in by_account:
                    circuit = by_account[push.account]
                    by_account[push.account] = circuit.fed(push, failures=self.failures)
            if service.is_open and service.knows_nobody:
                # The accounts are not to blame.
                for account in {account for account, _ in service.unknown} & accounts:
                    by_account[account] = AccountCircuit()
            await self._save(connection, before, service, by_account)
            open_accounts = frozenset(a for a, circuit in by_account.items() if circuit.is_open)
            # Who settled a failure just before somebody else opened the circuit says so after it.
            held_up = [
                (push.account, push.order)
                for push in pushes
                if push.kind not in (Kind.PROVEN, Kind.REFUSED)
                and (service.is_open or push.account in open_accounts)
            ]
            if held_up:
                await self._make_due(connection, held_up)
        return Fed(
            is_service_open=service.is_open,
            open_accounts=open_accounts,
            wants_health=service.wants_health,
        )

    async def told(self, *, is_healthy: bool | None, says: str) -> bool:
        """Tell the service's circuit what /health said; gives whether it is open now."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            before, _ = await self._locked(connection, ())
            service = before.told(is_healthy=is_healthy, says=says)
            await self._save(connection, (before, {}), service, {})
        return service.is_open

    async def pause(self, *, token_id: str = SERVICE, minutes: int, by: str) -> datetime:
        """Claim nothing of the account, or of all, until the time it gives.

        A pause that lasts already is replaced. `by` is whose hand it was.
        """
        until: datetime = await self._database.fetchval("pause", token_id, minutes, by)
        return until

    async def resume(self, *, token_id: str = SERVICE) -> bool:
        """End a pause; False: there was none."""
        if await self._database.fetchrow("resume", token_id) is None:
            return False
        await self._database.fetch("wake", self._database.schema)
        return True

    async def held(self) -> tuple[CircuitSeen, ...]:
        """All that is open or paused now."""
        rows = await self._database.fetch("circuits")
        return tuple(CircuitSeen(**row) for row in rows)

    async def _locked(
        self, connection: Connection, accounts: Iterable[str]
    ) -> tuple[ServiceCircuit, dict[str, AccountCircuit]]:
        rows = await connection.fetch(self._database.query("circuits_lock"), sorted(accounts))
        by_token: dict[str, Record] = {row["token_id"]: row for row in rows}
        service = by_token.pop(SERVICE)
        values = json.loads(service["evidence"])
        # A proof on a clean circuit is not written into its evidence.
        values["has_proven"] = service["proven_at"] is not None
        circuits = {account: AccountCircuit() for account in accounts}
        for account, row in by_token.items():
            circuits[account] = AccountCircuit.from_json(json.loads(row["evidence"]))
        return ServiceCircuit.from_json(values), circuits

    async def _save(
        self,
        connection: Connection,
        before: tuple[ServiceCircuit, dict[str, AccountCircuit]],
        service: ServiceCircuit,
        by_account: dict[str, AccountCircuit],
    ) -> None:
        before_service, before_accounts = before
        changed: dict[str, tuple[ServiceCircuit | AccountCircuit, bool]] = {}
        if service != before_service:
            changed[SERVICE] = (service, before_service.is_open)
        for account, after in by_account.items():
            if after != before_accounts[account]:
                changed[account] = (after, before_accounts[account].is_open)
        for token_id, (circuit, was_open) in sorted(changed.items()):
            if circuit.is_open != was_open:
                await self._turned(connection, token_id, circuit)
            await connection.execute(
                self._database.query("circuits_save"),
                token_id,
                json.dumps(circuit.to_json(), ensure_ascii=False),
                circuit.is_clean,
                circuit.reason,
            )

    async def _turned(
        self, connection: Connection, token_id: str, circuit: ServiceCircuit | AccountCircuit
    ) -> None:
        await connection.execute(self._database.query("circuit_event"), token_id, circuit.reason)
        name = "the service" if token_id == SERVICE else token_id
        if not circuit.is_open:
            log.info("circuit.closed", of=name)
            await connection.execute(self._database.query("wake"), self._database.schema)
            return
        log.warning("circuit.opened", of=name, reason=circuit.reason)
        await self._make_due(connection, circuit.held_up)

    async def _make_due(self, connection: Connection, orders: Sequence[tuple[str, str]]) -> None:
        await connection.execute(
            self._database.query("circuits_make_due"),
            [account for account, _ in orders],
            [order for _, order in orders],
        )
