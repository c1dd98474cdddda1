"""The database fails: the daemon stays up, says so once, comes back by itself, loses nothing."""

import asyncio
import time
from collections import Counter

import asyncpg
import pytest

from stocksync import database as database_room
from stocksync.circuits import Circuits
from stocksync.database import Database
from stocksync.demo.microservice import Effect, Fault, StandIn
from stocksync.demo.postgres import PostgresServer, StopMode
from stocksync.model import DatabaseUnavailable
from stocksync.store import REHEARSAL, Place, Store
from tests.daemons import Daemon, running_daemon
from tests.faults.conftest import PATIENT, execute, through, until_completed
from tests.faults.proxy import Proxy
from tests.outbox import Outbox
from tests.relaying import (
    running_relay,
    until,
    until_all,
    until_async,
    until_somebody_waits,
)
from tests.service import TOKEN_ID

# The longest rest of a loop that waits for the database (2 s), and the work itself, however busy
# the machine is.
RECOVERY_SECONDS = 8.0
# Two lines of the database, and of the listener that it lost its connection and has another.
OF_ONE_OUTAGE = Counter(
    {
        "database.unavailable": 1,
        "database.available": 1,
        "listener.deaf": 1,
        "listener.listening": 2,
    }
)


def outages(daemon: Daemon) -> int:
    """How many outages of the database the daemon told; each began and ended with one line."""
    told = Counter(event["event"] for event in daemon.events())
    assert told["database.unavailable"] - told["database.available"] in (0, 1)
    assert not [e for e in daemon.events() if e["level"] == "error"], daemon.log()
    return told["database.unavailable"]


def assert_all_is_told_once(stand_in: StandIn, orders: int) -> None:
    """Every order's flag is set, and nobody was told twice at once."""
    assert len(stand_in.microservice.flags) == orders
    assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
    assert stand_in.record.overlaps == []


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_it_restarts_under_load(
    dsn: str, postgres: PostgresServer, stand_in: StandIn, mode: StopMode
) -> None:
    connection = await asyncpg.connect(dsn)
    stand_in.service_seconds = 0.005
    with running_daemon(dsn, stand_in.url, **PATIENT) as daemon:
        await daemon.until_logged("daemon.started")
        await Outbox(connection).insert_orders(300, token_id=TOKEN_ID)
        connection.terminate()
        await until(lambda: len(stand_in.record.received) >= 20)
        # Blocks this loop, and with it the service: pushes are in flight all the while.
        postgres.restart(mode)
        restarted_at = time.monotonic()
        await until_completed(dsn, 300)
        assert time.monotonic() - restarted_at < RECOVERY_SECONDS
        assert outages(daemon) == 1
    assert_all_is_told_once(stand_in, 300)
    # What it had to say waited for the database: nothing was pushed again for want of a note.
    assert len(stand_in.record.received) <= 300 + 8


async def test_its_backends_are_killed_again_and_again(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.service_seconds = 0.002
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name LIKE 'stocksync%' AND datname = current_database()"
    )
    with running_daemon(dsn, stand_in.url) as daemon:
        await daemon.until_logged("daemon.started")
        killed = 0
        for _ in range(15):
            await outbox.insert_orders(20, token_id=TOKEN_ID)
            killed += await outbox.connection.fetchval(kill)
            await asyncio.sleep(0.1)
        await until_all(outbox, "completed")
        assert killed >= 15
        assert outages(daemon) <= 15
        assert len(daemon.events()) < 100
    assert_all_is_told_once(stand_in, 20)


async def test_a_daemon_frozen_while_it_rehearses_holds_up_no_other(
    dsn: str, outbox: Outbox, database: Database, way_to_database: Proxy
) -> None:
    await outbox.insert_orders(1)
    # A rehearsed claim takes the lock that all claims share: the server must give it back itself.
    way_to_database.last_words = b"stock_sync_claim("
    async with Database(url=through(way_to_database, dsn), rehearsal=REHEARSAL) as frozen:
        opening = asyncio.create_task(frozen.open(1))
        await until(lambda: way_to_database.is_frozen)
        async with asyncio.timeout(RECOVERY_SECONDS):
            claim = await Store(database=database, by="a test").claim(
                limit=1, lease_seconds=60, place=Place()
            )
        assert len(claim.pushes) == 1
        assert not opening.done()
        way_to_database.thaw()
        await opening


async def test_it_is_closed_by_us_while_somebody_waits_for_its_answer(
    dsn: str, way_to_database: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_room, "CONNECT_SECONDS", 3.0)
    way_to_database.last_words = b"application_name"
    async with Database(url=through(way_to_database, dsn)) as database:
        asked = asyncio.create_task(database.fetchrow("schema_state", "public"))
        await until(lambda: way_to_database.is_frozen)
    with pytest.raises(DatabaseUnavailable):
        await asked


@pytest.mark.parametrize(
    "least_seconds", [0, pytest.param(60, marks=pytest.mark.soak, id="a minute")]
)
async def test_it_is_refused_for_longer_than_any_loop_rests(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy, least_seconds: float
) -> None:
    with running_daemon(
        through(way_to_database, dsn), stand_in.url, LOG_LEVEL="debug", **PATIENT
    ) as daemon:
        await daemon.until_logged("listener.listening")
        way_to_database.refuse()
        lost_at = time.monotonic()
        # The sixth rest, of 0.1 s doubled five times or 2 s, is as long as any later one.
        await until(lambda: min(tries(daemon, loop) for loop in ("claim", "listen")) >= 6)
        await asyncio.sleep(lost_at + least_seconds - time.monotonic())
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        assert stand_in.record.received == []

        await way_to_database.listen()
        back_at = time.monotonic()
        await until(lambda: bool(stand_in.record.received))
        assert stand_in.record.received[0].arrived_at - back_at < RECOVERY_SECONDS
        await until_all(outbox, "completed")
        await until(lambda: told(daemon)["listener.listening"] == 2)
        assert told(daemon) == OF_ONE_OUTAGE, "an outage is no reason to write a novel"
    assert_all_is_told_once(stand_in, 20)


def tries(daemon: Daemon, loop: str) -> int:
    """How often this loop has found the database away."""
    return sum(
        event["event"] == "loop.waits_for_database" and event["loop"] == loop
        for event in daemon.events()
    )


def told(daemon: Daemon) -> Counter[str]:
    """What the daemon told of connections, to those who do not debug."""
    return Counter(
        event["event"]
        for event in daemon.events()
        if event["level"] != "debug" and not event["event"].startswith(("daemon.", "relay."))
    )


async def test_it_is_read_only_after_a_failover_and_then_not_any_more(
    dsn: str, outbox: Outbox, postgres: PostgresServer, stand_in: StandIn
) -> None:
    await outbox.connection.execute("SET default_transaction_read_only = off")
    with running_daemon(dsn, stand_in.url, **PATIENT) as daemon:
        await daemon.until_logged("daemon.started")
        await execute(postgres, "ALTER SYSTEM SET default_transaction_read_only = on")
        await execute(postgres, "SELECT pg_reload_conf()")
        try:
            lost = await daemon.until_logged("database.unavailable")
            assert "read-only" in lost["reason"]
            await outbox.insert_orders(20, token_id=TOKEN_ID)
        finally:
            await execute(postgres, "ALTER SYSTEM RESET default_transaction_read_only")
            await execute(postgres, "SELECT pg_reload_conf()")
        await until_all(outbox, "completed")
        assert len(stand_in.record.received) == 20
    assert_all_is_told_once(stand_in, 20)


async def test_it_has_no_connection_left(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy
) -> None:
    with running_daemon(through(way_to_database, dsn), stand_in.url) as daemon:
        await daemon.until_logged("daemon.started")
        way_to_database.refuse()
        others = await take_all_connections(dsn)
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        turned_away = way_to_database.accepted
        await way_to_database.listen()
        await until(lambda: way_to_database.accepted >= turned_away + 3)
        assert await outbox.statuses() == {"pending": 20}
        for other in others:
            other.terminate()
        await until_all(outbox, "completed")
        # Some of its connections may find room before the others do.
        assert outages(daemon) <= 3
    assert_all_is_told_once(stand_in, 20)


async def use_all_connections(database: Database) -> None:
    """Let the pool open all that it may."""
    await asyncio.gather(*(database.fetch("probe", "nobody", "") for _ in range(10)))


async def take_all_connections(dsn: str) -> "list[asyncpg.Connection[asyncpg.Record]]":
    taken = []
    try:
        while True:
            taken.append(await asyncpg.connect(dsn))
    except asyncpg.TooManyConnectionsError:
        return taken


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up soon, not after half a minute."""
    monkeypatch.setattr(database_room, "COMMAND_SECONDS", 0.6)
    monkeypatch.setattr(database_room, "CONNECT_SECONDS", 0.6)


@pytest.mark.usefixtures("impatient")
async def test_its_connections_are_half_open(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy
) -> None:
    async with running_relay(through(way_to_database, dsn), stand_in) as running:
        await use_all_connections(running.database)
        way_to_database.half_open()
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        # It hears again as well, not only polls.
        await until(lambda: running.listener is not None and running.listener.is_listening)
    assert_all_is_told_once(stand_in, 20)


@pytest.mark.soak
async def test_a_daemon_gets_over_half_open_connections_within_a_statements_deadline(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy
) -> None:
    with running_daemon(
        through(way_to_database, dsn),
        stand_in.url,
        MICROSERVICE_TIMEOUT_SECONDS="10",
        LEASE_SECONDS="60",
    ) as daemon:
        # Under load it opens all the connections that it may have.
        await outbox.insert_orders(500, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        way_to_database.half_open()
        began = time.monotonic()
        await outbox.insert("order", TOKEN_ID)
        async with asyncio.timeout(200):
            while await outbox.statuses() != {"completed": 501}:
                await asyncio.sleep(0.1)
        took = time.monotonic() - began
        # The statement itself, and the driver's wait for the end of its cancellation.
        deadline = database_room.COMMAND_SECONDS + database_room.CONNECT_SECONDS
        assert took < deadline + RECOVERY_SECONDS
        assert outages(daemon) <= 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["freeze", "black_hole"])
async def test_the_way_to_it_swallows_all(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy, fault: str
) -> None:
    # A claim that arrives when its daemon has given it up holds its rows as long as its lease.
    async with running_relay(
        through(way_to_database, dsn), stand_in, timeout_seconds=3, lease_seconds=6
    ):
        stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
        await outbox.insert_orders(8, token_id=TOKEN_ID)
        await until(lambda: len(stand_in.record.received) == 8)
        if fault == "freeze":
            way_to_database.freeze()
        else:
            way_to_database.black_hole()
            way_to_database.half_open()
        stand_in.lift()
        await outbox.insert_orders(12, token_id=TOKEN_ID)
        await asyncio.sleep(2.5)
        assert (await outbox.statuses()).get("completed", 0) <= 8
        way_to_database.thaw()
        await way_to_database.listen()
        await until_all(outbox, "completed")
    assert_all_is_told_once(stand_in, 12)


@pytest.mark.usefixtures("impatient")
async def test_a_daemon_frozen_in_a_transaction_holds_up_nobody_else(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy
) -> None:
    holder = await asyncpg.connect(dsn)
    async with Database(url=through(way_to_database, dsn)) as frozen:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("SELECT FROM stock_sync_circuits WHERE token_id = '' FOR UPDATE")
        telling = Circuits(database=frozen).told(is_healthy=False, says="a test")
        told = asyncio.create_task(telling)
        await until_somebody_waits(outbox)
        way_to_database.freeze()
        # It gets the circuit's row now, and never hears of it.
        await holding.rollback()
        await holder.close()
        try:
            async with running_relay(dsn, stand_in):
                await outbox.insert_orders(20, token_id=TOKEN_ID)
                await until_all(outbox, "completed")
        finally:
            # Postgres has ended its transaction meanwhile; it wakes up, and hears of that.
            way_to_database.thaw()
            [result] = await asyncio.gather(told, return_exceptions=True)
        assert isinstance(result, DatabaseUnavailable)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "57014", "53200"])
async def test_it_raises_an_error_of_the_moment(
    dsn: str, outbox: Outbox, stand_in: StandIn, sqlstate: str
) -> None:
    await break_updates(outbox, sqlstate, times=2)
    async with running_relay(dsn, stand_in):
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
    assert await outbox.connection.fetchval("SELECT last_value FROM updates") > 2
    assert_all_is_told_once(stand_in, 20)
    assert len(stand_in.record.received) == 20


async def break_updates(outbox: Outbox, sqlstate: str, *, times: int) -> None:
    """Let the first updates of operations fail; a sequence counts on when they are undone."""
    await outbox.connection.execute(
        "CREATE SEQUENCE updates;"
        " CREATE FUNCTION break_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('public.updates') <= {times} THEN"
        f" RAISE EXCEPTION 'an error of the moment' USING ERRCODE = '{sqlstate}'; END IF;"
        " RETURN NULL; END $$;"
        " CREATE TRIGGER break_update AFTER UPDATE ON pending_stock_operations"
        " FOR EACH STATEMENT EXECUTE FUNCTION break_update()"
    )


async def test_rows_locked_crosswise_make_no_deadlock_and_nothing_is_pushed_again(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
    async with running_relay(dsn, stand_in, timeout_seconds=20):
        await outbox.insert_units(2, token_id=TOKEN_ID)
        await until(lambda: len(stand_in.record.received) == 1)
        first, second = sorted(row["id"] for row in await outbox.rows())
        lock = "SELECT FROM pending_stock_operations WHERE id = $1 FOR UPDATE"
        reader = await asyncpg.connect(dsn)
        try:
            async with outbox.connection.transaction():
                await outbox.connection.execute(lock, second)
                stand_in.lift()

                # The daemon passes over what is locked, and waits for nobody.
                async def the_first_is_settled() -> bool:
                    return await Outbox(reader).statuses() == {"completed": 1, "processing": 1}

                await until_async(the_first_is_settled)
                await outbox.connection.execute(lock, first)
        finally:
            await reader.close()
        await until_all(outbox, "completed")
        assert len(stand_in.record.received) == 1
        assert await outbox.actions(second) == ["completed"]


async def test_somebody_holds_a_snapshot_and_rows_go_on(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    reader = await asyncpg.connect(dsn)
    try:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.fetchval("SELECT count(*) FROM pending_stock_operations")
            async with running_relay(dsn, stand_in):
                for _ in range(5):
                    await outbox.insert_orders(50, token_id=TOKEN_ID)
                    await until_all(outbox, "completed")
    finally:
        await reader.close()
    assert_all_is_told_once(stand_in, 50)


async def test_what_is_given_back_while_it_is_away_is_given_back_when_it_returns(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_database: Proxy
) -> None:
    stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
    async with running_relay(
        through(way_to_database, dsn), stand_in, concurrency=1, timeout_seconds=25
    ) as running:
        running.relay._line.target = 40
        await outbox.insert_orders(30, token_id=TOKEN_ID)
        await until(lambda: len(running.relay._line) == 29)
        way_to_database.refuse()
        await outbox.connection.execute(
            "UPDATE stock_sync_circuits SET is_open = true, reason = 'a test', opened_at = now(),"
            " probe_at = now() + interval '1 hour'"
        )
        await running.relay._watching.hold()
        await until(lambda: running.database._lost_at is not None)
        assert await outbox.statuses() == {"processing": 30}

        await way_to_database.listen()

        async def all_but_the_one_in_flight_are_back() -> bool:
            return await outbox.statuses() == {"pending": 29, "processing": 1}

        # Long before their leases of a minute are over.
        await until_async(all_but_the_one_in_flight_are_back)
        await outbox.connection.execute(
            "UPDATE stock_sync_circuits SET is_open = false, reason = NULL, opened_at = NULL,"
            " probe_at = NULL"
        )
        stand_in.lift()
        await until_all(outbox, "completed")
    assert {row["attempts"] for row in await outbox.rows()} == {1}
    assert len(stand_in.record.received) == 30
    assert_all_is_told_once(stand_in, 30)


async def test_it_goes_away_between_settling_and_telling_the_circuits(
    dsn: str, outbox: Outbox, stand_in: StandIn
) -> None:
    """The brake waits until the circuits have been told: they must be told in the end."""
    async with running_relay(dsn, stand_in, timeout_seconds=1) as running:
        await outbox.insert_orders(50, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        stand_in.inject(Fault(effect=Effect(hang_seconds=600)))
        await outbox.insert_orders(20, token_id=TOKEN_ID)
        # More fail together than the brake lets fail untold.
        await until(lambda: running.relay.in_flight >= 5)

        async def all_is_settled_and_the_one_that_tells_is_gone() -> bool:
            gone = await outbox.connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            relay = running.relay
            return bool(gone) and not relay.in_flight and not len(relay._settling)

        holder = await asyncpg.connect(dsn)
        async with holder.transaction():
            # Settling what failed only reads the circuits; who feeds them waits behind this lock.
            await holder.execute("SELECT FROM stock_sync_circuits WHERE token_id = '' FOR UPDATE")
            await until_async(all_is_settled_and_the_one_that_tells_is_gone)
        await holder.close()
        stand_in.lift()
        await until_all(outbox, "completed")
