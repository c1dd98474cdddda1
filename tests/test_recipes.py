"""What the README tells the order system to write does what it says, with the producer's rights."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import jwt
import pytest

from stocksync.demo.microservice import StandIn
from stocksync.grants import grants
from tests.daemons import running_daemon
from tests.outbox import Outbox
from tests.relaying import until_all
from tests.service import SECRET, TOKEN_ID, USER_ID, running_stand_in
from tests.test_readme import block_after

ROOT = Path(__file__).parent.parent
RECIPES = Path(__file__).parent / "recipes"
PATIENCE_SECONDS = 60.0
# As in the README's plain SQL.
ORDER = "ORDER-1"
ITEMS = {101: "SKU-1", 102: "SKU-1", 103: "SKU-2"}
KINDS = ["sql", "psycopg", "sqlalchemy", "django"]


@dataclass(frozen=True)
class Shop:
    """The order system: its stock, and a role that may insert into the outbox and no more."""

    dsn: str
    folder: Path
    outbox: Outbox

    async def sell(self, kind: str) -> None:
        """Deduct ITEMS of ORDER as the recipe says; raises what refuses it."""
        recipe = block_after(f"recipe: {kind}")
        if kind == "sql":
            await self.execute(recipe)
            return
        (self.folder / "recipe.py").write_text(recipe, "utf-8")
        self._sell_in_a_process(kind)

    def _sell_in_a_process(self, kind: str) -> None:
        path = [ROOT, self.folder, RECIPES / f"{kind}_shop"]
        sale = subprocess.run(
            [sys.executable, "-m", "tests.recipes.sell", kind, ORDER, json.dumps(ITEMS)],
            env=_environment(self.dsn) | {"PYTHONPATH": os.pathsep.join(map(str, path))},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if sale.returncode:
            raise SaleFailed(sale.stderr)

    async def execute(self, statements: str) -> None:
        """As the order system's role, in a connection of its own."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def stock(self) -> dict[str, int]:
        rows = await self.outbox.connection.fetch("SELECT sku, quantity FROM stock")
        return {row["sku"]: row["quantity"] for row in rows}

    async def balance(self, order_id: str) -> int:
        return int(
            await self.outbox.connection.fetchval(
                "SELECT balance FROM stock_sync_order($1, $2)", TOKEN_ID, order_id
            )
        )


class SaleFailed(Exception):
    """What the order system's process said."""


def _environment(dsn: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "DSN": dsn, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
async def shop(dsn: str, outbox: Outbox, tmp_path: Path) -> AsyncIterator[Shop]:
    role = f"order_system_{secrets.token_hex(4)}"
    await outbox.connection.execute(
        f"CREATE ROLE {role}; {grants({'producer': role}, schema='public')};"
        "CREATE TABLE stock (sku text PRIMARY KEY,"
        "    quantity integer NOT NULL CONSTRAINT stock_is_not_negative CHECK (quantity >= 0));"
        "INSERT INTO stock VALUES ('SKU-1', 10), ('SKU-2', 10);"
        "CREATE TABLE order_items (id bigint PRIMARY KEY, token_id text NOT NULL,"
        "    order_id text NOT NULL, sku text NOT NULL, cancelled_at timestamptz);"
        f"GRANT ALL ON stock, order_items TO {role}"
    )
    as_role = f"{dsn}{'&' if '?' in dsn else '?'}options={quote('-c role=')}{role}"
    try:
        yield Shop(as_role, tmp_path, outbox)
    finally:
        await outbox.connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def flag(stand_in: StandIn, order_id: str = ORDER) -> bool | None:
    """None: the service has never heard of this order."""
    row = stand_in.microservice.flags.get((TOKEN_ID, order_id))
    return None if row is None else row.is_stock_updated


@pytest.mark.parametrize("kind", KINDS)
async def test_a_recipe_deducts_and_inserts_together_and_a_second_time_neither(
    shop: Shop, dsn: str, kind: str
) -> None:
    for _ in range(2):
        await shop.sell(kind)
        assert await shop.stock() == {"SKU-1": 8, "SKU-2": 9}
        assert await shop.outbox.statuses() == {"pending": 3}
    async with running_stand_in() as stand_in:
        with running_daemon(dsn, stand_in.url):
            await until_all(shop.outbox, "completed")
        assert flag(stand_in) is True
    # The outbox remembers also after the push.
    await shop.sell(kind)
    assert await shop.stock() == {"SKU-1": 8, "SKU-2": 9}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_recipe_that_is_rolled_back_leaves_neither(shop: Shop, kind: str) -> None:
    # The last deduction is refused, after the rows were inserted and others deducted.
    await shop.outbox.connection.execute("UPDATE stock SET quantity = 0 WHERE sku = 'SKU-2'")
    with pytest.raises((SaleFailed, asyncpg.CheckViolationError), match="stock_is_not_negative"):
        await shop.sell(kind)
    assert await shop.stock() == {"SKU-1": 10, "SKU-2": 0}
    assert await shop.outbox.rows() == []


async def test_a_trigger_tells_the_outbox_what_an_untouched_order_system_sells(
    shop: Shop, dsn: str
) -> None:
    def item(number: int, order_id: str) -> str:
        return f"({number}, '{TOKEN_ID}', '{order_id}', 'SKU-1')"

    insert = "INSERT INTO order_items (id, token_id, order_id, sku) VALUES "
    await shop.execute(f"{insert} {item(1, 'before')}, {item(2, 'before')}, {item(3, 'gone')}")
    await shop.execute("UPDATE order_items SET cancelled_at = now() WHERE id = 3")
    # Who owns the tables runs it, once.
    await shop.outbox.connection.execute(block_after("recipe: trigger"))
    with pytest.raises(asyncpg.DuplicateFunctionError):
        await shop.outbox.connection.execute(block_after("recipe: trigger"))
    await shop.outbox.connection.execute("ROLLBACK")

    sale = f"{insert} {item(4, 'new')}, {item(5, 'new')}, {item(6, 'taken back')}"
    with pytest.raises(asyncpg.DivisionByZeroError):
        await shop.execute(f"BEGIN; {sale}; SELECT 1 / 0; COMMIT")
    assert await shop.balance("new") == 0
    for _ in range(2):
        await shop.execute(f"{sale} ON CONFLICT (id) DO NOTHING")
    for change in (
        "UPDATE order_items SET cancelled_at = now() WHERE id IN (1, 6)",
        "UPDATE order_items SET cancelled_at = now(), sku = 'SKU-1' WHERE id = 6",
        "DELETE FROM order_items WHERE id = 3",
        f"DELETE FROM order_items WHERE id = 4; {insert} {item(4, 'new')}",
        "UPDATE order_items SET order_id = 'moved' WHERE id = 5",
    ):
        await shop.execute(change)

    balances = {"before": 1, "gone": 0, "new": 1, "moved": 1, "taken back": 0}
    assert {order: await shop.balance(order) for order in balances} == balances
    async with running_stand_in() as stand_in:
        with running_daemon(dsn, stand_in.url):
            await until_all(shop.outbox, "completed")
        # Of 'gone' there is nothing to say: it was cancelled before.
        wanted = {order: balance > 0 for order, balance in balances.items()} | {"gone": None}
        assert {order: flag(stand_in, order) for order in balances} == wanted


async def test_an_item_that_was_cancelled_and_comes_back_is_deducted_again(shop: Shop) -> None:
    await shop.outbox.connection.execute(block_after("recipe: trigger"))
    await shop.execute(
        "INSERT INTO order_items (id, token_id, order_id, sku)"
        f" VALUES (1, '{TOKEN_ID}', '{ORDER}', 'SKU-1')"
    )
    for cancelled_at, balance in [("now()", 0), ("NULL", 1), ("now()", 0), ("NULL", 1)]:
        await shop.execute(f"UPDATE order_items SET cancelled_at = {cancelled_at}")
        assert await shop.balance(ORDER) == balance


@contextmanager
def selling(kind: str, shop: Shop, service_url: str) -> Iterator["subprocess.Popen[str]"]:
    """An order system at work, which says where it is and waits there."""
    claims = {"user_id": USER_ID, "exp": time.time() + 3600}
    environment = {
        "PYTHONPATH": str(ROOT),
        "SERVICE_URL": service_url,
        "JWT": jwt.encode(claims, SECRET, algorithm="HS256"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.recipes.order_system", kind, ORDER],
        env=_environment(shop.dsn) | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def comes_to(process: "subprocess.Popen[str]", point: str) -> None:
    """Let it go on until it says that it is there."""
    assert process.stdin
    assert process.stdout
    if point == "between":
        comes_to(process, "before")
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.stdout.readline() == f"{point}\n"


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


async def push_all(shop: Shop, dsn: str, stand_in: StandIn) -> None:
    """Let a daemon do all there is to do, and another order, which proves that it worked."""
    await shop.outbox.insert("another", TOKEN_ID)
    with running_daemon(dsn, stand_in.url):
        await until_all(shop.outbox, "completed")
    assert flag(stand_in, "another") is True


async def test_killed_between_its_two_steps_an_order_system_loses_the_flag(
    shop: Shop, dsn: str
) -> None:
    async with running_stand_in() as stand_in:
        with selling("two-steps", shop, stand_in.url) as process:
            comes_to(process, "between")
            kill(process)
        assert (await shop.stock())["SKU-1"] == 9
        await push_all(shop, dsn, stand_in)
        assert flag(stand_in) is None


async def test_killed_at_the_same_point_with_an_outbox_it_loses_nothing(
    shop: Shop, dsn: str
) -> None:
    async with running_stand_in() as stand_in:
        with selling("outbox", shop, stand_in.url) as process:
            comes_to(process, "between")
            kill(process)
        assert (await shop.stock())["SKU-1"] == 9
        await push_all(shop, dsn, stand_in)
        assert flag(stand_in) is True


async def test_killed_before_its_commit_it_has_neither_deducted_nor_told(
    shop: Shop, dsn: str
) -> None:
    async with running_stand_in() as stand_in:
        with selling("outbox", shop, stand_in.url) as process:
            comes_to(process, "before")
            kill(process)
        assert (await shop.stock())["SKU-1"] == 10
        await push_all(shop, dsn, stand_in)
        assert flag(stand_in) is None


async def test_not_killed_the_two_steps_set_the_flag(shop: Shop) -> None:
    async with running_stand_in() as stand_in:
        with selling("two-steps", shop, stand_in.url) as process:
            comes_to(process, "between")
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
            await stand_in.until(lambda: flag(stand_in) is True)
