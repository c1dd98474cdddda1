"""What on-call hears, end to end: real daemons, a real outage, Telegram as it would see them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from stocksync.demo.microservice import StandIn
from stocksync.demo.microservice.faults import Effect, Fault
from tests.daemons import Daemon, running_daemon
from tests.outbox import Outbox
from tests.relaying import until, until_all, until_async
from tests.service import TOKEN_ID, running_stand_in
from tests.telegram_fake import CHAT, TOKEN, BotApi, running_bot_api

AWAY = Fault(effect=Effect(status=503, content="away"))


@contextmanager
def on_call(dsn: str, stand_in: StandIn, bot_api: BotApi, **settings: str) -> Iterator[Daemon]:
    with running_daemon(
        dsn,
        stand_in.url,
        TELEGRAM_BOT_TOKEN=TOKEN,
        TELEGRAM_CHAT_ID=CHAT,
        TELEGRAM_API_URL=bot_api.url,
        LANGUAGE="en",
        MONITORING_INTERVAL_SECONDS="1",
        **settings,
    ) as daemon:
        yield daemon


async def until_quiet(outbox: Outbox, *, turns: int = 3) -> None:
    """Wait until the monitor has looked so many times more, and everything is told."""
    look = "SELECT ended_at FROM stock_sync_timers WHERE name = 'monitor'"
    for _ in range(turns):
        before = await outbox.connection.fetchval(look)

        async def has_looked(before: object = before) -> bool:
            return bool(await outbox.connection.fetchval(look) != before)

        await until_async(has_looked)

    async def is_told() -> bool:
        unsent = "SELECT count(*) FROM stock_sync_changes WHERE sent_at IS NULL"
        return not await outbox.connection.fetchval(unsent)

    await until_async(is_told)


async def test_an_outage_is_two_messages_over_two_daemons_and_a_restart(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in() as stand_in, running_bot_api() as bot_api:
        stand_in.inject(AWAY)
        with on_call(dsn, stand_in, bot_api), on_call(dsn, stand_in, bot_api) as other:
            await outbox.insert_orders(2000, token_id=TOKEN_ID)
            await until(lambda: len(bot_api.sent) == 1)
            # A restart repeats nothing.
            other.signal(signal.SIGTERM)
            assert await other.exit_code() == 0, other.log()
            with on_call(dsn, stand_in, bot_api):
                await until_quiet(outbox)
                assert len(bot_api.sent) == 1
                stand_in.lift()
                await until_all(outbox, "completed")
                await until_quiet(outbox)
        began, ended = bot_api.texts()
    assert "503" in began
    assert "2,000" in ended or "2000" in ended


async def test_a_flag_that_somebody_flipped_is_repaired_and_told_in_one_message(
    dsn: str, outbox: Outbox
) -> None:
    async with running_stand_in() as stand_in, running_bot_api() as bot_api:
        with on_call(dsn, stand_in, bot_api), on_call(dsn, stand_in, bot_api):
            await outbox.insert(order_id="ORDER-1", token_id=TOKEN_ID)
            await until_all(outbox, "completed")
            row = stand_in.microservice.flags[TOKEN_ID, "ORDER-1"]
            row.is_stock_updated = False
            # The next run, now: it was settled two minutes ago, and the timer is due.
            await outbox.connection.execute(
                "UPDATE pending_stock_operations SET completed_at = now() - interval '2 minutes'"
            )
            await outbox.connection.execute(
                "UPDATE stock_synchronization_logs SET \"timestamp\" = now() - interval '2 minutes'"
            )

            async def is_registered() -> bool:
                made_due = await outbox.connection.execute(
                    "UPDATE stock_sync_timers SET due_at = now() WHERE name = 'reconcile'"
                )
                return bool(made_due == "UPDATE 1")

            await until_async(is_registered)
            await until(lambda: row.is_stock_updated)
            await until(lambda: len(bot_api.sent) == 1)
            await until_quiet(outbox)
            [text] = bot_api.texts()
    assert "ORDER-1" in text


async def test_a_telegram_that_does_not_answer_delays_no_push(dsn: str, outbox: Outbox) -> None:
    async with running_stand_in() as stand_in, running_bot_api() as bot_api:
        bot_api.answers.clear()
        stand_in.inject(AWAY)
        with on_call(dsn, stand_in, bot_api):
            await outbox.insert_orders(10, token_id=TOKEN_ID)
            # It is being told of the outage, and does not come back from it.
            await until(lambda: any(call.method == "sendMessage" for call in bot_api.calls))
            stand_in.lift()
            await until_all(outbox, "completed")
            assert not bot_api.answers.is_set()
            bot_api.answers.set()
