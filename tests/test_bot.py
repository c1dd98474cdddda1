"""The bot: buttons and commands do what they say, once, for those who may, and say who did it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from stocksync.alerts import catalogue
from stocksync.bot import Bot
from stocksync.changes import Change
from stocksync.circuit import AccountCircuit
from stocksync.database import Database
from stocksync.loop import Loop
from stocksync.model import DatabaseUnavailable
from stocksync.operations import Operations
from stocksync.telegram import Telegram
from stocksync.timers import Timers
from stocksync.verdict import Limits
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.relaying import until_async
from tests.telegram_fake import (
    CHAT,
    HTML_502,
    OTHER_CHAT,
    TOKEN,
    UNAUTHORIZED,
    USER_ID,
    Answer,
    BotApi,
    Call,
    bad_request,
    flood,
    running_bot_api,
)

HAND = f"telegram:{USER_ID} @user_{USER_ID}"
STRANGER = 666
MESSAGE = 42


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with running_bot_api() as api:
        yield api


@pytest.fixture
async def telegram(api: BotApi) -> AsyncIterator[Telegram]:
    telegram = Telegram(token=TOKEN, api_url=api.url)
    yield telegram
    await telegram.aclose()


async def names(_: Sequence[Change]) -> Mapping[str, str]:
    return {ACCOUNT: "Ирина"}


def bot_of(database: Database, telegram: Telegram, *, language: Literal["ru", "en"] = "en") -> Bot:
    return Bot(
        database=database,
        telegram=telegram,
        operations=Operations(database=database),
        timers=Timers(database=database, by="a test"),
        catalogue=catalogue(language, with_buttons=True),
        names=names,
        chats=(CHAT,),
        allowed_user_ids=(USER_ID,),
        limits=Limits(),
        poll_seconds=0,
    )


@pytest.fixture(autouse=True)
async def it_was_asked_before(outbox: Outbox) -> None:
    await outbox.connection.execute("UPDATE stock_sync_telegram SET next_update = 1")


@pytest.fixture
def bot(database: Database, telegram: Telegram) -> Bot:
    return bot_of(database, telegram)


async def failed_rows(outbox: Outbox, count: int) -> list[UUID]:
    ids = [await outbox.insert(f"order-{number}") for number in range(count)]
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'failed', retry_count = 5,"
        " error_message = '422 refused: sku' WHERE id = ANY ($1)",
        ids,
    )
    return ids


async def told(
    outbox: Outbox, kind: str, phase: str, *, token_id: str = "", **facts: object
) -> int:
    change_id: int = await outbox.connection.fetchval(
        "INSERT INTO stock_sync_changes (kind, phase, token_id, facts) VALUES ($1, $2, $3, $4)"
        " RETURNING id",
        kind,
        phase,
        token_id,
        json.dumps(facts),
    )
    return change_id


async def told_of_failed(outbox: Outbox, ids: Sequence[UUID]) -> int:
    texts = [str(each) for each in ids]
    examples = [{"operation_id": text, "token_id": ACCOUNT, "order_id": "o"} for text in texts[:5]]
    return await told(
        outbox,
        "failed",
        "happened",
        count=len(ids),
        failed_now=len(ids),
        accounts=[{"token_id": ACCOUNT, "count": len(ids)}],
        examples=examples,
        operation_ids=texts,
    )


async def park(database: Database, outbox: Outbox, token_id: str = ACCOUNT) -> None:
    circuit = AccountCircuit(reason="404 Токен", refusals=5)
    async with database.connection() as connection:
        await connection.execute(
            database.query("circuits_save"),
            token_id,
            json.dumps(circuit.to_json()),
            circuit.is_clean,
            circuit.reason,
        )
    await outbox.connection.execute(
        "UPDATE stock_sync_circuits SET probe_at = now() + interval '30 seconds'"
    )


def answers(api: BotApi) -> list[str]:
    return [c.fields["text"] for c in api.calls if c.method == "answerCallbackQuery"]


def edits(api: BotApi) -> list[Call]:
    return [call for call in api.calls if call.method == "editMessageText"]


async def test_retry_these_sends_the_failed_ones_again_and_says_who_did_it(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    first, second, completed = await failed_rows(outbox, 3)
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'completed', completed_at = now()"
        " WHERE id = $1",
        completed,
    )
    change_id = await told_of_failed(outbox, [first, second, completed])
    api.press(f"retry:{change_id}", message_id=MESSAGE)
    await bot.tick()
    assert [(await outbox.row(i))["status"] for i in (first, second, completed)] == [
        "pending",
        "pending",
        "completed",
    ]
    [details] = await outbox.connection.fetch(
        "SELECT details FROM stock_synchronization_logs WHERE operation_id = $1", first
    )
    assert json.loads(details["details"])["by"] == HAND
    assert answers(api) == [
        "Being sent again: 2 operations\nLeft out, no manual action needed any more: 1 operation"
    ]
    [edit] = edits(api)
    assert int(edit.fields["message_id"]) == MESSAGE
    assert edit.text.startswith("🟡 Given up, no more automatic attempts: 3 operations\n")
    assert f"\n✓ Being sent again: 2 operations. By @user_{USER_ID}, " in edit.text
    assert edit.buttons == [[("Mute ALL messages for 1 h", f"mute:{change_id}")]]


async def test_pressing_twice_is_harmless_and_says_so(
    bot: Bot, api: BotApi, outbox: Outbox, database: Database
) -> None:
    change_id = await told_of_failed(outbox, await failed_rows(outbox, 1))
    parked_id = await told(outbox, "parked", "began", token_id=ACCOUNT, waiting_rows=1)
    await park(database, outbox)
    for action in (f"retry:{change_id}", f"mute:{change_id}", f"probe:{parked_id}"):
        api.press(action)
        api.press(action)
    await bot.tick()
    said = answers(api)
    assert said[0] == "Being sent again: 1 operation"
    assert said[1] == "No action needed: none of them needs manual action any more"
    assert said[2].startswith("All messages are muted until 20")
    assert said[3].startswith("No action needed: messages are muted until 20")
    assert said[4:] == ["The account “Ирина” is being retried now"] * 2
    actions = await outbox.connection.fetch("SELECT action FROM stock_synchronization_logs")
    assert [row["action"] for row in actions] == ["manual_retry"]
    assert edits(api)[1].text == edits(api)[0].text


async def test_mute_an_hour(bot: Bot, api: BotApi, outbox: Outbox) -> None:
    change_id = await told_of_failed(outbox, await failed_rows(outbox, 1))
    api.press(f"mute:{change_id}")
    await bot.tick()
    row = await outbox.connection.fetchrow(
        "SELECT muted_by, extract(epoch FROM muted_until - now()) AS seconds"
        " FROM stock_sync_telegram"
    )
    assert row is not None
    assert row["muted_by"] == HAND
    assert 3500 < row["seconds"] <= 3600
    assert "\n✓ All messages are muted until 20" in edits(api)[0].text
    assert edits(api)[0].buttons == [[("Resend these 1", f"retry:{change_id}")]]


async def test_probe_now_tries_the_account_at_once(
    bot: Bot, api: BotApi, outbox: Outbox, database: Database
) -> None:
    first = await told(outbox, "parked", "began", token_id=ACCOUNT, waiting_rows=1)
    second = await told(outbox, "parked", "began", token_id=OTHER_ACCOUNT, waiting_rows=2)
    await park(database, outbox, ACCOUNT)
    await park(database, outbox, OTHER_ACCOUNT)
    api.press(f"probe:{second},{first}")
    await bot.tick()
    due = await outbox.connection.fetch(
        "SELECT token_id FROM stock_sync_circuits WHERE is_open AND probe_at <= clock_timestamp()"
    )
    assert [row["token_id"] for row in due] == [OTHER_ACCOUNT]
    [edit] = edits(api)
    assert edit.text.startswith("🟡 The microservice does not accept 2 accounts\n")
    assert "\n✓ The account 0a1b2c3d… is being retried now. By @user_77, " in edit.text


async def test_an_account_that_is_back_is_not_tried(bot: Bot, api: BotApi, outbox: Outbox) -> None:
    api.press(f"probe:{await told(outbox, 'parked', 'began', token_id=ACCOUNT)}")
    await bot.tick()
    assert answers(api) == ["No action needed: the account “Ирина” is accepted again"]


@pytest.mark.parametrize("action", ["retry:12345", "mute:", "burn:1", "retry:x", "", "probe:-1"])
async def test_a_message_of_long_ago_says_that_it_is_too_old(
    bot: Bot, api: BotApi, action: str
) -> None:
    api.press(action)
    await bot.tick()
    assert answers(api) == ["Too old: what this message was about is not known any more"]
    assert edits(api) == []


async def test_status_is_answered_where_it_was_asked(bot: Bot, api: BotApi, outbox: Outbox) -> None:
    await failed_rows(outbox, 2)
    await outbox.insert("waiting")
    api.say("/status@the_bot")
    await bot.tick()
    [text] = api.texts()
    assert text.splitlines()[0] == "🔴 Sending is stalled"
    assert "no daemon is running" in text
    assert "In the queue: 1 operation; being sent: 0; sent in 5 minutes: 0" in text
    assert "Given up, needing manual action: 2 operations; /failed" in text


async def test_status_in_russian(database: Database, telegram: Telegram, api: BotApi) -> None:
    api.say("/status")
    await bot_of(database, telegram, language="ru").tick()
    assert api.texts() == [
        "🟢 Всё в порядке\nВ очереди: 0 операций; отправляется: 0; отправлено за 5 минут: 0"
    ]


async def test_failed_lists_them_with_what_to_send(bot: Bot, api: BotApi, outbox: Outbox) -> None:
    api.say("/failed")
    await bot.tick()
    ids = await failed_rows(outbox, 7)
    api.say("/failed")
    await bot.tick()
    none, text = api.texts()
    assert none == "Nothing needs manual action"
    assert text.startswith(
        "🟡 Given up, no more automatic attempts: 7 operations\n"
        "• 5 operations: 422 refused: sku\nOrders: order-6, order-5, "
    )
    assert "(“Ирина”)\n• …and 2 more operations\n" in text
    assert ("code", f"/retry {ids[6]}") in api.sent[1].entities
    api.say(f"/retry {ids[6]}")
    await bot.tick()
    assert api.texts()[2] == "Being sent again: 1 operation"
    assert await outbox.actions(ids[6]) == ["manual_retry"]


async def test_what_is_not_possible_is_answered_in_words(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    row_id = await outbox.insert()
    await outbox.connection.execute(
        "UPDATE pending_stock_operations SET status = 'completed', completed_at = now()"
    )
    for text in ("/retry", "/retry x", f"/retry {uuid4()}", f"/retry {row_id}"):
        api.say(text)
    await bot.tick()
    why = "retry is for pending and failed operations"
    assert api.texts() == [
        "Which one? /retry ID; the ids: /failed",
        "Which one? /retry ID; the ids: /failed",
        "There is no operation with this id",
        f"Not possible, nothing was changed: {row_id} is completed: {why}",
    ]


async def test_reconcile_is_asked_of_the_timer(bot: Bot, api: BotApi, database: Database) -> None:
    api.say("/reconcile")
    await bot.tick()
    assert api.texts() == [
        "Comparing is switched off in the settings. By hand:\nstocksync reconcile"
    ]
    timers = Timers(database=database, by="a daemon")
    assert await timers.take("reconcile", interval_seconds=1800) is None
    api.say("/reconcile")
    await bot.tick()
    assert api.texts()[1].startswith("stocksync's flags and the microservice's are being compared")
    turn = await timers.take("reconcile", interval_seconds=1800)
    assert turn is not None
    assert turn.asked_by == HAND


async def test_help_names_every_command(bot: Bot, api: BotApi) -> None:
    api.say("/help")
    await bot.tick()
    [text] = api.texts()
    assert [line.split()[0] for line in text.splitlines()] == [
        "/status",
        "/failed",
        "/retry",
        "/reconcile",
        "/help",
    ]


async def test_what_is_not_for_us_is_not_answered(bot: Bot, api: BotApi) -> None:
    for text in ("/status@another_bot", "/weather", "good morning", "/ status", "/"):
        api.say(text)
    await bot.tick()
    assert api.sent == []
    api.say("/weather@the_bot")
    await bot.tick()
    assert api.texts() == ["Not known: /weather"]


async def test_strangers_and_other_chats_are_ignored_and_logged_once(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    ids = await failed_rows(outbox, 1)
    change_id = await told_of_failed(outbox, ids)
    with capture_logs() as logs:
        for _ in range(2):
            api.press(f"retry:{change_id}", user_id=STRANGER)
            api.press(f"retry:{change_id}", chat=OTHER_CHAT)
            api.say("/status", user_id=STRANGER)
            api.say("hello", user_id=STRANGER + 1)
        await bot.tick()
    assert [(log["user_id"], log["chat"]) for log in logs if log["event"] == "bot.ignored"] == [
        (STRANGER, CHAT),
        (USER_ID, OTHER_CHAT),
    ]
    assert (await outbox.row(ids[0]))["status"] == "failed"
    assert answers(api) == []
    assert api.sent == []


async def test_what_people_wanted_before_the_very_first_start_is_passed_over(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    await outbox.connection.execute("UPDATE stock_sync_telegram SET next_update = 0")
    ids = await failed_rows(outbox, 2)
    api.say(f"/retry {ids[0]}")
    api.press(f"retry:{await told_of_failed(outbox, ids)}")
    for _ in range(3):
        await bot.tick()
    assert [(await outbox.row(i))["status"] for i in ids] == ["failed"] * 2
    assert api.sent == []
    api.say("/help")
    await bot.tick()
    assert len(api.sent) == 1


async def test_the_first_thing_that_is_wanted_after_the_very_first_start_is_done(
    bot: Bot, api: BotApi, outbox: Outbox, database: Database, telegram: Telegram
) -> None:
    await outbox.connection.execute("UPDATE stock_sync_telegram SET next_update = 0")
    await bot.tick()
    api.say("/help")
    # Also by a daemon that was started in between.
    await outbox.connection.execute("UPDATE stock_sync_telegram SET poller = NULL")
    await bot_of(database, telegram).tick()
    assert len(api.sent) == 1


async def test_one_daemon_asks_and_its_successor_does_nothing_twice(
    bot: Bot, api: BotApi, outbox: Outbox, database: Database, telegram: Telegram
) -> None:
    other = bot_of(database, telegram)
    api.say("/help")
    await bot.tick()
    assert await other.tick() > 0
    # It died.
    await outbox.connection.execute(
        "UPDATE stock_sync_telegram SET poller_until = now() - interval '1 second'"
    )
    api.say("/help")
    assert await other.tick() == 0
    assert await bot.tick() > 0
    assert len(api.sent) == 2


async def test_what_was_heard_while_another_took_over_is_the_others(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    await bot.tick()

    async def is_asking() -> bool:
        return sum(call.method == "getUpdates" for call in api.calls) > 1

    bot._poll_seconds = 30
    frozen = asyncio.create_task(bot.tick())
    await until_async(is_asking)
    # Somebody else has it by now, and will hear the same.
    await outbox.connection.execute("UPDATE stock_sync_telegram SET poller = $1", uuid4())
    api.say("/help")
    assert await frozen > 0
    assert api.sent == []


async def test_a_daemon_that_stops_lets_another_ask_at_once(
    bot: Bot, api: BotApi, database: Database, telegram: Telegram
) -> None:
    bot._poll_seconds = 30
    loop = Loop("bot", bot.tick)
    running = asyncio.create_task(loop.run())

    async def is_asking() -> bool:
        return any(call.method == "getUpdates" for call in api.calls)

    await until_async(is_asking)
    loop.stop()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert await bot_of(database, telegram).tick() == 0


@pytest.mark.parametrize(
    ("answer", "rest_seconds"), [(HTML_502, 5), (UNAUTHORIZED, 60), (flood(30), 30)]
)
async def test_telegram_being_away_is_said_once_and_its_return(
    bot: Bot,
    api: BotApi,
    answer: Answer,
    rest_seconds: float,
) -> None:
    api.always[""] = answer
    with capture_logs() as logs:
        assert [await bot.tick() for _ in range(3)] == [rest_seconds] * 3
        api.always.clear()
        await bot.tick()
    assert [log["event"] for log in logs] == ["bot.deaf", "bot.hears"]


async def test_an_answer_that_telegram_does_not_take_changes_nothing_about_the_act(
    bot: Bot, api: BotApi, outbox: Outbox
) -> None:
    ids = await failed_rows(outbox, 1)
    await bot.tick()
    api.press(f"retry:{await told_of_failed(outbox, ids)}")
    api.always[CHAT] = bad_request("message can't be edited")
    with capture_logs() as logs:
        await bot.tick()
    assert (await outbox.row(ids[0]))["status"] == "pending"
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["bot.unanswered"]


@pytest.fixture
async def impatient(dsn: str) -> AsyncIterator[Database]:
    """A database that is away soon."""
    async with Database(url=dsn, command_seconds=2) as database:
        yield database


async def test_a_database_that_is_away_is_answered_in_words(
    impatient: Database, telegram: Telegram, api: BotApi, outbox: Outbox
) -> None:
    ids = await failed_rows(outbox, 1)
    change_id = await told_of_failed(outbox, ids)
    bot = bot_of(impatient, telegram)
    await bot.tick()
    api.press(f"retry:{change_id}")
    api.say(f"/retry {ids[0]}")
    async with outbox.connection.transaction():
        await outbox.connection.execute(
            "LOCK stock_sync_changes, pending_stock_operations IN ACCESS EXCLUSIVE MODE"
        )
        await bot.tick()
    away = "The database does not answer, nothing was changed. Please try again in a minute"
    assert answers(api) == [away]
    assert api.texts() == [away]
    assert edits(api) == []
    assert (await outbox.row(ids[0]))["status"] == "failed"


async def test_what_cannot_be_begun_is_done_later(
    impatient: Database, telegram: Telegram, api: BotApi, outbox: Outbox
) -> None:
    ids = await failed_rows(outbox, 1)
    change_id = await told_of_failed(outbox, ids)
    bot = bot_of(impatient, telegram)
    await bot.tick()
    asked = len(api.calls)
    bot._poll_seconds = 30
    asking = asyncio.create_task(bot.tick())

    async def is_asking() -> bool:
        return len(api.calls) > asked

    await until_async(is_asking)
    async with outbox.connection.transaction():
        await outbox.connection.execute("LOCK stock_sync_telegram IN ACCESS EXCLUSIVE MODE")
        api.press(f"retry:{change_id}")
        with pytest.raises(DatabaseUnavailable):
            await asking
    assert answers(api) == ["The database does not answer. It will be done when it does"]
    await bot.tick()
    assert answers(api)[1:] == ["Being sent again: 1 operation"]
    assert await outbox.actions(ids[0]) == ["manual_retry"]
