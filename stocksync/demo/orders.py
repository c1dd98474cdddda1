"""The order system of the demo: every change of its stock and the outbox rows, one transaction."""

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stocksync.database import Database

Kind = Literal["deduction", "refund", "adjustment"]

ACCOUNTS = tuple(
    str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.demo.invalid"))
    for name in ("north", "south", "sea")
)
SKUS = ("kettle", "lamp", "chair", "чашка")
MOST_UNITS = 5

# Its own table: any order system has something like it. stocksync neither knows nor needs it.
_CREATE_STOCK = """
CREATE TABLE demo_stock (
    sku   text    PRIMARY KEY,
    units integer NOT NULL CHECK (units >= 0)
)"""
_FILL_STOCK = "INSERT INTO demo_stock (sku, units) SELECT sku, $2 FROM unnest($1::text[]) sku"
_TAKE_STOCK = "UPDATE demo_stock SET units = units - $2 WHERE sku = $1"
_TELL_OUTBOX = """
INSERT INTO pending_stock_operations (token_id, order_id, operation_type, sku, quantity)
SELECT $1, $2, kind, sku, quantity
FROM unnest($3::text[], $4::text[], $5::integer[]) row (kind, sku, quantity)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row for the outbox."""

    kind: Kind
    sku: str
    quantity: int

    @property
    def units_taken(self) -> int:
        """What it takes from the stock; below zero: gives back."""
        return -self.quantity if self.kind == "refund" else self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one transaction does to one order: a sale, a refund, a correction."""

    at_seconds: float
    """Since the orders began to arrive."""
    token_id: str
    order_id: str
    rows: tuple[Row, ...]


def plan(*, orders: int, over_seconds: float) -> list[Change]:
    """Orders of 1 to 5 units, evenly spread; of ten, one is refunded in part and one as a whole.

    Two are corrected by hand: one takes two units more, one gives everything back. The same every
    time.
    """
    chance = random.Random(orders)  # noqa: S311 - for variety, not for secrecy
    changes: list[Change] = []
    for number in range(orders):
        at_seconds = over_seconds * number / orders
        token_id = ACCOUNTS[number % len(ACCOUNTS)]
        order_id = _order_id(number)
        units = [chance.choice(SKUS) for _ in range(chance.randint(1, MOST_UNITS))]
        sale = tuple(Row(kind="deduction", sku=sku, quantity=1) for sku in units)
        steps = [(at_seconds, sale)]
        # While most of the others still arrive.
        later = min(at_seconds + chance.uniform(0.2, 2.0), over_seconds)
        if number % 10 == 3:  # noqa: PLR2004 - one of ten
            steps.append((later, (Row(kind="refund", sku=units[0], quantity=1),)))
        elif number % 10 == 7:  # noqa: PLR2004 - another one of ten
            steps.append((later, _all_back(units)))
        if number == orders // 3:
            steps.append((later, (Row(kind="adjustment", sku=units[0], quantity=2),)))
        elif number == orders // 2:
            given = tuple(Row(kind="adjustment", sku=sku, quantity=-1) for sku in units)
            steps.append((later, given))
        changes += [
            Change(at_seconds=at, token_id=token_id, order_id=order_id, rows=rows)
            for at, rows in steps
        ]
    return sorted(changes, key=lambda change: change.at_seconds)


def _all_back(units: Sequence[str]) -> tuple[Row, ...]:
    return tuple(
        Row(kind="refund", sku=sku, quantity=count) for sku, count in Counter(units).items()
    )


def _order_id(number: int) -> str:
    # One of fifty is as odd as order ids are allowed to be.
    return f"заказ № {number}: 50 % + ?#" if number % 50 == 11 else f"order-{number:05}"  # noqa: PLR2004 - see above


class OrderSystem:
    """Sells: one transaction a change, one after the other."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._seen: set[tuple[str, str]] = set()

    @property
    def arrived(self) -> int:
        """Orders that arrived so far."""
        return len(self._seen)

    async def open(self) -> None:
        """Make the shelves."""
        async with self._database.connection() as connection:
            await connection.execute(_CREATE_STOCK)

    async def trade(self, changes: Sequence[Change]) -> None:
        """Fill the shelves with what is needed, and make every change at its time, from now on."""
        async with self._database.connection() as connection:
            taken = sum(max(row.units_taken, 0) for change in changes for row in change.rows)
            await connection.execute(_FILL_STOCK, SKUS, taken)
        began_at = time.monotonic()
        for change in changes:
            await asyncio.sleep(began_at + change.at_seconds - time.monotonic())
            await self._book(change)
            self._seen.add((change.token_id, change.order_id))

    async def _book(self, change: Change) -> None:
        """This is what an order system does: stock and outbox, both or neither."""
        units_by_sku: Counter[str] = Counter()
        for row in change.rows:
            units_by_sku[row.sku] += row.units_taken
        async with self._database.connection() as connection, connection.transaction():
            # Sorted: two sellers of the same goods never wait for each other crosswise.
            await connection.executemany(_TAKE_STOCK, sorted(units_by_sku.items()))
            await connection.execute(
                _TELL_OUTBOX,
                change.token_id,
                change.order_id,
                [row.kind for row in change.rows],
                [row.sku for row in change.rows],
                [row.quantity for row in change.rows],
            )
