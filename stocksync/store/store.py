"""The transitions of rows. One transition, one method, one statement in `sql/queries/`."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID, uuid4

from stocksync.database import Database
from stocksync.model import ClaimedRow, Push
from stocksync.settlement import Settlement
from stocksync.store.told import Claim, Counts, Place, Rescued, Settled

# Enough to clear what a dead daemon held in one go; the next round takes the rest.
RESCUE_LIMIT = 1000
REHEARSAL = ("rehearse_claim", "rehearse_settle")
"""What a new connection tries, to be quick when it counts; rolled back, they do nothing."""

T = TypeVar("T")


class Store:
    """The outbox as the relay sees it. Raises `DatabaseUnavailable` when the database is away."""

    def __init__(self, *, database: Database, by: str) -> None:
        self._database = database
        self._by = by

    async def claim(self, *, limit: int, lease_seconds: float, place: Place) -> Claim:
        """Claim up to `limit` due orders; over all daemons an order is in one claim at a time."""
        claim_token = uuid4()
        # Before the call: the database counts the lease from later on.
        lease_until = time.monotonic() + lease_seconds
        rows = await self._database.fetch(
            "claim",
            limit,
            claim_token,
            float(lease_seconds),
            place.after,
            list(place.heads),
            [at for at, _ in place.heads.values()],
            [seq for _, seq in place.heads.values()],
        )
        last = rows.pop()
        after = last["token_id"]
        return Claim(
            pushes=tuple(_push(row, claim_token) for row in rows),
            lease_until=lease_until,
            # With more accounts than a claim holds, every claim must look at other ones.
            next_place=Place(after=after) if after else _moved_on(place, rows),
            is_held=last["is_probe"],
        )

    async def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Write what came of pushes; a row whose lease was lost is not touched."""
        rows = sorted(
            ((row, s) for s in settlements for row in s.rows), key=lambda pair: pair[0].id.int
        )
        details = {id(s): _as_json(tuple(s.details.items())) for s in settlements}
        orders = sorted(
            (s for s in settlements if s.push.is_order_claimed),
            key=lambda s: (s.push.order_id, s.push.token_id),
        )
        failed = sorted(
            ((i, s) for s in orders if s.is_proven for i in s.push.failed_ids),
            key=lambda pair: pair[0].int,
        )
        ambiguous = [s.push for s in settlements if s.is_ambiguous]
        row = await self._database.fetchrow(
            "settle",
            [each.id for each, _ in rows],
            [s.push.claim_token for _, s in rows],
            [row.status for row, _ in rows],
            [row.retry_count for row, _ in rows],
            _sparse([row.delay_seconds for row, _ in rows]),
            _sparse([row.error for row, _ in rows]),
            [row.action for row, _ in rows],
            [details[id(s)] for _, s in rows],
            [s.duration_ms for _, s in rows],
            [s.push.token_id for s in orders],
            [s.push.order_id for s in orders],
            [s.push.claim_token for s in orders],
            [s.order_delay_seconds for s in orders],
            [None if any(row.action for row in s.rows) else _own_action(s) for s in orders],
            [details[id(s)] for s in orders],
            [s.duration_ms for s in orders],
            [i for i, _ in failed],
            [s.push.claim_token for _, s in failed],
            [details[id(s)] for _, s in failed],
            [p.token_id for p in ambiguous],
            [p.order_id for p in ambiguous],
            _sparse([row.uncounted for row, _ in rows]),
            _sparse([row.delay_uncounted_seconds for row, _ in rows]),
            _probed(s.push for s in settlements),
        )
        assert row is not None  # noqa: S101 - the function always answers
        return Settled(
            lost=frozenset(row["lost_ids"]),
            blocked=frozenset(row["blocked_ids"]),
            given_up=frozenset(row["given_up_ids"] or ()),
            is_clean=row["is_clean"],
            completed_ages=tuple(row["completed_ages"]),
            first_tries=row["first_tries"],
            retried_seconds=row["retried_seconds"],
            row_retries=row["row_retries"],
        )

    async def release(self, pushes: Sequence[Push]) -> None:
        """Give back what was claimed and never begun: no attempt, no trace."""
        wanted = [p.attempt is not None for p in _claimed_orders(pushes)]
        await self._database.fetch("release", *_held(pushes), wanted, _probed(pushes))

    async def renew(self, pushes: Sequence[Push], *, lease_seconds: float) -> list[Push]:
        """Lengthen the leases of waiting pushes; gives those that are still held."""
        rows = await self._database.fetch("renew", *_held(pushes), float(lease_seconds))
        held = {(row["token_id"], row["order_id"], row["claim_token"]) for row in rows}
        return [p for p in pushes if (p.token_id, p.order_id, p.claim_token) in held]

    async def rescue(self) -> Rescued:
        """Make rows and orders with an expired lease pending again, their orders ambiguous."""
        row = await self._database.fetchrow("rescue", RESCUE_LIMIT, self._by)
        assert row is not None  # noqa: S101 - the function always answers
        return Rescued(row_count=row["row_count"], order_count=row["order_count"])

    async def add_to_minute(
        self, counts: Counts, *, completed_seconds_ago: tuple[float, float] | None
    ) -> None:
        """Add what was done to the present minute.

        `completed_seconds_ago`: when its first and its last row were completed; None: none was.
        """
        first, last = completed_seconds_ago or (None, None)
        await self._database.fetch("minutes_add", *astuple(counts), last, first)


# By the hundred, they differ in nothing.
@lru_cache(maxsize=256)
def _as_json(items: tuple[tuple[str, Any], ...]) -> str:
    return json.dumps(dict(items), ensure_ascii=False)


def _sparse(column: list[T]) -> list[T]:
    """The column, or nothing where all of it is None, as for rows that were proven.

    In Postgres, what lies beyond an array's end is NULL.
    """
    return column if any(each is not None for each in column) else []


def _own_action(settlement: Settlement) -> str:
    return "pushed_again" if settlement.is_proven else "push_again_failed"


def _held(pushes: Sequence[Push]) -> tuple[list[Any], ...]:
    """The columns that say what these pushes hold: rows, then orders claimed themselves."""
    rows = sorted(
        ((row.id, p.claim_token) for p in pushes for row in p.rows), key=lambda pair: pair[0].int
    )
    orders = _claimed_orders(pushes)
    return (
        [row_id for row_id, _ in rows],
        [claim_token for _, claim_token in rows],
        [p.token_id for p in orders],
        [p.order_id for p in orders],
        [p.claim_token for p in orders],
    )


def _probed(pushes: Iterable[Push]) -> list[str]:
    """Circuits whose probe these were: the service's or the account's, which is closed then."""
    tokens = {push.token_id for push in pushes if push.is_probe}
    return ["", *sorted(tokens)] if tokens else []


def _claimed_orders(pushes: Iterable[Push]) -> list[Push]:
    """Those whose order is claimed itself, in the order in which every statement locks them."""
    return sorted((p for p in pushes if p.is_order_claimed), key=lambda p: (p.order_id, p.token_id))


def _push(row: Any, claim_token: UUID) -> Push:  # noqa: ANN401 - the driver's record
    return Push(
        token_id=row["token_id"],
        order_id=row["order_id"],
        balance=row["balance"],
        rows=tuple(
            ClaimedRow(id=i, is_due=is_due, retry_count=retry_count, max_retries=max_retries)
            for i, is_due, retry_count, max_retries in zip(
                row["ids"] or (),
                row["are_due"] or (),
                row["retry_counts"] or (),
                row["max_retries"] or (),
                strict=True,
            )
        ),
        failed_ids=tuple(row["failed_ids"] or ()),
        is_order_claimed=row["is_order_claimed"],
        attempt=row["attempt"],
        is_probe=row["is_probe"],
        claim_token=claim_token,
    )


def _moved_on(place: Place, rows: Sequence[Any]) -> Place:
    """Each account's place moves to the first order that this claim took of it."""
    heads: dict[str, tuple[datetime, int]] = {}
    for row in rows:
        if row["head_at"] is not None:
            head = (row["head_at"], row["head_seq"])
            heads[row["token_id"]] = min(head, heads.get(row["token_id"], head))
    return Place(heads=place.heads | heads)
