"""The way to the service fails: nothing burns, everything arrives, doubts are remembered."""

import pytest

from stocksync.demo.microservice import StandIn
from tests.daemons import running_daemon
from tests.faults.conftest import PATIENT, through
from tests.faults.proxy import Proxy
from tests.outbox import Outbox
from tests.relaying import until, until_all, until_async
from tests.service import OTHER_TOKEN_ID, TOKEN_ID


@pytest.mark.parametrize("fault", ["freeze", "black_hole"])
async def test_the_way_to_the_service_is_cut_for_some_seconds(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_service: Proxy, fault: str
) -> None:
    stand_in.service_seconds = 0.01
    # One retry, at once: far shorter than the outage.
    with running_daemon(dsn, through(way_to_service, stand_in.url), RETRY_MAX_ATTEMPTS="1"):
        for token_id in (TOKEN_ID, OTHER_TOKEN_ID):
            await outbox.insert_orders(30, units=2, token_id=token_id)
        await until(lambda: len(stand_in.record.received) >= 10)
        getattr(way_to_service, fault)()
        if fault == "black_hole":
            way_to_service.half_open()

        await until_probed(outbox, 2)
        way_to_service.thaw()
        await way_to_service.listen()
        await probe_soon(outbox)
        await until_all(outbox, "completed")
    assert {row["retry_count"] for row in await outbox.rows()} <= {0, 1}
    assert all(row.is_stock_updated for row in stand_in.microservice.flags.values())
    assert len(stand_in.microservice.flags) == 60


async def until_probed(outbox: Outbox, count: int) -> None:
    """Wait until so many probes have gone, each as soon as it may."""

    async def is_so() -> bool:
        await probe_soon(outbox)
        most: int = await outbox.connection.fetchval("SELECT max(probes) FROM stock_sync_circuits")
        return most >= count

    await until_async(is_so)


async def probe_soon(outbox: Outbox) -> None:
    """Move time instead of waiting: the next probe is due."""
    await outbox.connection.execute(
        "UPDATE stock_sync_circuits SET probe_at = now() WHERE is_open AND probe_at > now()"
    )


async def test_a_slow_and_dripping_way_to_all_is_only_slow(
    dsn: str, outbox: Outbox, stand_in: StandIn, way_to_service: Proxy, way_to_database: Proxy
) -> None:
    way_to_service.latency_seconds = way_to_database.latency_seconds = 0.02
    way_to_service.drip_seconds = 0.0002
    with running_daemon(
        through(way_to_database, dsn),
        through(way_to_service, stand_in.url),
        **PATIENT,
    ) as daemon:
        await outbox.insert_orders(5, token_id=TOKEN_ID)
        await until_all(outbox, "completed")
        assert not [e for e in daemon.events() if e["level"] in ("warning", "error")]
    assert len(stand_in.record.received) == 5
