"""Delivery: each change told once in each chat, whatever becomes of Telegram, daemons and chats."""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from stocksync import telemetry
from stocksync.alerts import Catalogue, catalogue
from stocksync.backoff import Backoff
from stocksync.changes import Change, Kind, Phase
from stocksync.database import Database
from stocksync.delivery import Delivery, Names
from stocksync.delivery.refusals import Refusals
from stocksync.message import Message
from stocksync.model import DatabaseRefused, ServiceUnavailable
from stocksync.telegram import Telegram
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox, account
from tests.relaying import until
from tests.telegram_fake import (
    CHAT,
    HANG,
    HTML_502,
    KICKED,
    OTHER_CHAT,
    TOKEN,
    UNAUTHORIZED,
    Answer,
    BotApi,
    bad_request,
    flood,
    running_bot_api,
)

NAMES = {ACCOUNT: "Shop", OTHER_ACCOUNT: "Market"}
OUTAGE = {"reason": "503 turned away", "waiting_rows": 12}


@dataclass
class Deliveries:
    """Daemons of one database, as far as they tell changes; each with its own connections."""

    dsn: str
    api: BotApi
    outbox: Outbox
    names: dict[str, str] = field(default_factory=lambda: dict(NAMES))
    _closers: list[Callable[[], Any]] = field(default_factory=list)
    _hosts: dict[str, tuple[Database, Telegram]] = field(default_factory=dict)

    async def start(
        self,
        *,
        chats: tuple[str, ...] = (CHAT,),
        critical_chats: tuple[str, ...] = (CHAT,),
        thread_id: int | None = None,
        token: str = TOKEN,
        retry_seconds: float = 0,
        again_seconds: float = 300,
        timeout_seconds: float = 10,
        words: Catalogue | None = None,
        host: str = "",
    ) -> Delivery:
        """One more daemon, or one that was started again; on a named host it has the same ways."""
        if host not in self._hosts:
            database = await Database(url=self.dsn).__aenter__()
            telegram = Telegram(token=token, api_url=self.api.url, timeout_seconds=timeout_seconds)
            self._closers += [telegram.aclose, lambda: database.__aexit__(None, None, None)]
            host = host or f"host {len(self._hosts)}"
            self._hosts[host] = (database, telegram)
        database, telegram = self._hosts[host]
        return Delivery(
            database=database,
            telegram=telegram,
            catalogue=words or catalogue("en"),
            names=Names(accounts=self._accounts),
            chats=chats,
            critical_chats=critical_chats,
            thread_id=thread_id,
            backoff=Backoff(initial_seconds=retry_seconds, max_seconds=max(retry_seconds, 0.001)),
            refusals=Refusals(again_seconds=again_seconds),
        )

    async def _accounts(self) -> dict[str, str]:
        return self.names

    async def happens(
        self,
        kind: Kind,
        phase: Phase = Phase.HAPPENED,
        *,
        token_id: str = "",
        facts: object = OUTAGE,
    ) -> int:
        """The monitor notices a change."""
        number: int = await self.outbox.connection.fetchval(
            "INSERT INTO stock_sync_changes (kind, phase, token_id, facts)"
            " VALUES ($1, $2, $3, $4) RETURNING id",
            kind,
            phase,
            token_id,
            json.dumps(facts),
        )
        return number

    async def pass_time(self, interval: str) -> None:
        """Move time instead of waiting: everything was that much longer ago."""
        await self.outbox.connection.execute(
            f"UPDATE stock_sync_changes SET at = at - '{interval}'::interval,"
            f" added_at = added_at - '{interval}'::interval"
        )
        columns = ("muted_until", "flood_until", "sender_until", "paced_until")
        moved = ", ".join(f"{name} = {name} - '{interval}'::interval" for name in columns)
        await self.outbox.connection.execute(f"UPDATE stock_sync_telegram SET {moved}")

    async def end_pauses(self) -> None:
        """Move time for Telegram's pauses and our own pace, but not for whoever is sending."""
        await self.outbox.connection.execute(
            "UPDATE stock_sync_telegram SET flood_until = NULL, paced_until = NULL"
        )

    async def row(self, number: int) -> dict[str, Any]:
        return dict(
            await self.outbox.connection.fetchrow(
                "SELECT * FROM stock_sync_changes WHERE id = $1", number
            )
            or {}
        )

    async def unsent(self) -> int:
        count: int = await self.outbox.connection.fetchval(
            "SELECT count(*) FROM stock_sync_changes WHERE sent_at IS NULL"
        )
        return count

    async def telegram(self, column: str) -> Any:  # noqa: ANN401 - the column's
        return await self.outbox.connection.fetchval(f"SELECT {column} FROM stock_sync_telegram")

    async def mute(self) -> None:
        await self.outbox.connection.execute(
            "UPDATE stock_sync_telegram SET muted_until = now() + interval '1 hour'"
        )

    async def aclose(self) -> None:
        for close in reversed(self._closers):
            await close()


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with running_bot_api() as api:
        yield api


@pytest.fixture
async def daemons(dsn: str, api: BotApi, outbox: Outbox) -> AsyncIterator[Deliveries]:
    daemons = Deliveries(dsn, api, outbox)
    yield daemons
    await daemons.aclose()


@pytest.fixture
def logged() -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    telemetry.configure("debug", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def events(logged: Callable[[], list[dict[str, Any]]]) -> list[str]:
    return [line["event"] for line in logged()]


async def test_a_change_is_told_once(daemons: Deliveries, api: BotApi) -> None:
    number = await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start()
    for _ in range(3):
        assert 0 < await delivery.tick() <= 2
    [text] = api.texts()
    assert "The microservice is down" in text
    row = await daemons.row(number)
    assert row["sent_to"] == [CHAT]
    assert row["sent_at"] is not None


async def test_critical_changes_go_to_their_own_chats(daemons: Deliveries, api: BotApi) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await daemons.happens(Kind.BACKLOG, Phase.BEGAN, facts={"pending": 5000, "limit": 1000})
    delivery = await daemons.start(critical_chats=(OTHER_CHAT,), thread_id=7)
    await delivery.tick()
    assert "queue is too long" in "".join(api.texts(CHAT))
    assert "is down" in "".join(api.texts(OTHER_CHAT))
    assert len(api.sent) == 2
    assert {call.fields["message_thread_id"] for call in api.sent} == {"7"}
    assert await daemons.unsent() == 0


async def test_several_chats_each_have_it_once(daemons: Deliveries, api: BotApi) -> None:
    number = await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    both = (CHAT, OTHER_CHAT)
    delivery = await daemons.start(chats=both, critical_chats=both)
    await delivery.tick()
    await delivery.tick()
    assert [len(api.texts(chat)) for chat in both] == [1, 1]
    assert set((await daemons.row(number))["sent_to"]) == set(both)


async def test_five_accounts_parked_in_one_turn_are_one_message(
    daemons: Deliveries, api: BotApi
) -> None:
    for n in range(5):
        await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=account(n))
    await daemons.happens(Kind.FAILED, facts={"count": 1, "failed_now": 1})
    await (await daemons.start()).tick()
    parked, failed = api.texts()
    assert "5 accounts" in parked
    assert "1 operation" in failed


async def test_accounts_are_called_by_their_names(daemons: Deliveries, api: BotApi) -> None:
    await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=ACCOUNT)
    await (await daemons.start()).tick()
    assert "Shop" in api.texts()[0]


async def test_the_daily_report_comes_with_its_picture_and_by_itself(
    daemons: Deliveries, api: BotApi
) -> None:
    hours = [{"hour": hour, "rows_completed": hour, "due_rows": 1} for hour in range(24)]
    await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=ACCOUNT)
    await daemons.happens(Kind.DAILY_REPORT, facts={"day": "2026-11-23", "hours": hours})
    await daemons.happens(Kind.PARKED, Phase.ENDED, token_id=ACCOUNT)
    await daemons.pass_time("1 hour")
    await (await daemons.start()).tick()
    assert [call.method for call in api.sent] == ["sendMessage", "sendPhoto"]


async def test_a_restart_repeats_nothing(daemons: Deliveries, api: BotApi) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await (await daemons.start()).tick()
    await (await daemons.start()).tick()
    assert len(api.sent) == 1


async def test_two_daemons_at_once_tell_each_change_once(daemons: Deliveries, api: BotApi) -> None:
    several = [await daemons.start() for _ in range(3)]
    for n in range(6):
        await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=account(n))
        await asyncio.gather(*(each.tick() for each in several))
    while await daemons.unsent():
        await asyncio.gather(*(each.tick() for each in several))
    assert len(api.sent) == 6


async def test_nobody_else_sends_while_one_does(daemons: Deliveries, api: BotApi) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    one, other = await daemons.start(), await daemons.start()
    api.answers.clear()
    telling = asyncio.create_task(one.tick())
    await until(lambda: bool(api.sent))
    await other.tick()
    api.answers.set()
    await telling
    await other.tick()
    assert len(api.sent) == 1


async def test_a_daemon_that_was_killed_is_followed_when_its_lease_is_over(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await daemons.outbox.connection.execute(
        "UPDATE stock_sync_telegram SET sender = gen_random_uuid(),"
        " sender_until = clock_timestamp() + interval '1 minute'"
    )
    delivery = await daemons.start()
    await delivery.tick()
    assert api.calls == []
    await daemons.pass_time("1 minute")
    await delivery.tick()
    assert len(api.sent) == 1


async def test_what_is_being_told_when_a_daemon_stops_is_not_told_again(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    api.answers.clear()
    stopping = asyncio.create_task((await daemons.start()).tick())
    await until(lambda: bool(api.sent))
    stopping.cancel()
    api.answers.set()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    # The right to send was given back, too.
    await daemons.happens(Kind.STALLED, Phase.BEGAN, facts={"reasons": ["no daemon"]})
    await (await daemons.start()).tick()
    assert len(api.sent) == 2


async def test_a_silent_telegram_does_not_hold_up_a_daemon_that_stops(
    daemons: Deliveries, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stocksync.delivery.delivery.LAST_SECONDS", 0.05)
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    api.once.append(HANG)
    stopping = asyncio.create_task((await daemons.start(timeout_seconds=600)).tick())
    await until(lambda: bool(api.calls))
    stopping.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([stopping])
    await (await daemons.start()).tick()
    assert len(api.sent) == 1


async def test_what_was_told_while_the_database_went_away_is_not_told_again(
    daemons: Deliveries, api: BotApi
) -> None:
    number = await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start()
    api.answers.clear()
    telling = asyncio.create_task(delivery.tick())
    await until(lambda: bool(api.sent))
    await daemons.outbox.connection.execute("ALTER TABLE stock_sync_changes RENAME TO away")
    api.answers.set()
    with pytest.raises(DatabaseRefused):
        await telling
    await daemons.outbox.connection.execute("ALTER TABLE away RENAME TO stock_sync_changes")
    await delivery.tick()
    assert len(api.sent) == 1
    assert (await daemons.row(number))["sent_at"] is not None


async def test_telegram_down_for_an_hour_is_made_up_for_in_one_message(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    one, other = await daemons.start(), await daemons.start()
    await api.stop_listening()
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await one.tick()
    await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=ACCOUNT)
    await other.tick()
    await daemons.happens(Kind.OUTAGE, Phase.ENDED, facts={"seconds": 1800, "waiting_rows": 12})
    await one.tick()
    await daemons.pass_time("1 hour")
    await api.listen()
    await daemons.happens(Kind.FAILED, facts={"count": 3, "failed_now": 3})
    for _ in range(3):
        await one.tick()
        await other.tick()
    new, late = api.texts()
    assert "3 operations" in new
    assert "Delayed: 3 events" in late
    assert "The microservice was down for 30 min" in late
    assert "Shop" in late
    assert await daemons.unsent() == 0
    # Once an outage, of each daemon.
    assert events(logged).count("delivery.unavailable") == 2
    assert events(logged).count("delivery.available") == 1


async def test_after_a_failed_try_it_rests_even_when_it_is_woken(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start(retry_seconds=600)
    await api.stop_listening()
    await delivery.tick()
    await api.listen()
    await delivery.tick()
    assert api.calls == []


async def test_a_silent_telegram_holds_up_its_own_loop_alone_and_not_for_long(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start(timeout_seconds=0.1, retry_seconds=600)
    api.always[""] = HANG
    async with asyncio.timeout(5):
        await delivery.tick()
    # It gave back the right to send: a daemon with a better network may.
    api.always.clear()
    await (await daemons.start()).tick()
    assert len(api.sent) == 1


async def test_a_flood_is_honoured_by_all_daemons_and_blocks_none(
    daemons: Deliveries, api: BotApi
) -> None:
    one, other = await daemons.start(), await daemons.start()
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    api.once.append(flood(900))
    async with asyncio.timeout(5):
        for each in (one, other, one, other):
            assert await each.tick() <= 2
    assert len(api.calls) == 1
    await daemons.pass_time("14 minutes")
    await other.tick()
    assert len(api.calls) == 1
    await daemons.happens(Kind.OUTAGE, Phase.ENDED, facts={"seconds": 900})
    await daemons.pass_time("61 seconds")
    await other.tick()
    await one.tick()
    [text] = api.texts()
    assert "was down for 15 min" in text


async def test_one_wrong_chat_does_not_keep_anything_from_the_other(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    both = ("-404", CHAT)
    delivery = await daemons.start(chats=both, critical_chats=both)
    for phase in (Phase.BEGAN, Phase.LASTS, Phase.ENDED):
        await daemons.happens(Kind.OUTAGE, phase, facts={**OUTAGE, "seconds": 60})
        await delivery.tick()
    assert len(api.texts(CHAT)) == 3
    await delivery.tick()
    # Said once, and the wrong one was asked with each change once: it may have been mended.
    assert [call.chat for call in api.calls].count("-404") == 3
    assert events(logged).count("delivery.refused") == 1
    assert await daemons.telegram("refused") == "chat -404: Bad Request: chat not found"
    assert await daemons.unsent() == 3


async def test_a_chat_that_is_mended_hears_what_it_missed_and_the_verdict_is_cleared(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    both = (CHAT, OTHER_CHAT)
    delivery = await daemons.start(chats=both, critical_chats=both, again_seconds=0)
    api.always[OTHER_CHAT] = KICKED
    for phase in (Phase.BEGAN, Phase.ENDED):
        await daemons.happens(Kind.OUTAGE, phase, facts={**OUTAGE, "seconds": 120})
        await delivery.tick()
    assert "Forbidden" in await daemons.telegram("refused")
    assert events(logged).count("delivery.refused") == 1
    del api.always[OTHER_CHAT]
    await daemons.pass_time("10 minutes")
    await delivery.tick()
    [text] = api.texts(OTHER_CHAT)
    assert "was down for 2 min" in text
    assert len(api.texts(CHAT)) == 2
    assert await daemons.telegram("refused") is None
    assert "delivery.accepted" in events(logged)


async def test_a_wrong_token_is_noted_until_a_daemon_has_the_right_one(
    daemons: Deliveries, api: BotApi
) -> None:
    number = await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await (await daemons.start(token="1:wrong")).tick()
    assert "Unauthorized" in await daemons.telegram("refused")
    assert (await daemons.row(number))["sent_at"] is None
    await (await daemons.start()).tick()
    assert await daemons.telegram("refused") is None
    assert len(api.sent) == 1


async def test_a_chat_that_was_taken_out_of_the_settings_is_not_waited_for(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    both = (CHAT, "-404")
    await (await daemons.start(chats=both, critical_chats=both)).tick()
    assert await daemons.unsent() == 1
    await (await daemons.start()).tick()
    assert await daemons.unsent() == 0
    assert await daemons.telegram("refused") is None
    assert len(api.sent) == 1


async def test_what_telegram_cannot_parse_goes_as_plain_text_once(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    api.once.append(bad_request("can't parse entities"))
    delivery = await daemons.start()
    await delivery.tick()
    await delivery.tick()
    [call] = api.sent
    assert len(api.calls) == 2
    assert call.entities == []
    assert "is down" in call.text
    assert events(logged).count("delivery.unsendable") == 1
    assert await daemons.unsent() == 0


async def test_what_telegram_never_takes_is_dropped_and_holds_up_nothing(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await daemons.happens(Kind.FAILED, facts={"count": 1, "failed_now": 1})
    api.once.extend([bad_request("strange"), bad_request("strange")])
    delivery = await daemons.start()
    await delivery.tick()
    await delivery.tick()
    assert len(api.calls) == 3
    assert len(api.sent) == 1
    [dropped] = [line for line in logged() if line["event"] == "delivery.dropped"]
    assert "is down" in dropped["text"]
    assert await daemons.unsent() == 0


async def a_report(daemons: Deliveries) -> int:
    hours = [{"hour": hour, "rows_completed": hour, "due_rows": 1} for hour in range(24)]
    return await daemons.happens(Kind.DAILY_REPORT, facts={"day": "2026-11-23", "hours": hours})


@pytest.mark.parametrize(
    "answer",
    [
        bad_request("not enough rights to send photos to the chat"),
        bad_request("CHAT_SEND_PHOTOS_FORBIDDEN"),
        bad_request("PHOTO_SAVE_FILE_INVALID"),
        Answer(status=413, body={"ok": False, "description": "Request Entity Too Large"}),
        HTML_502,
        HANG,
    ],
    ids=lambda answer: str(answer.body)[-40:],
)
async def test_a_chat_without_pictures_gets_the_report_as_text(
    daemons: Deliveries,
    api: BotApi,
    logged: Callable[[], list[dict[str, Any]]],
    answer: Answer,
) -> None:
    await a_report(daemons)
    api.once.append(answer)
    await (await daemons.start(timeout_seconds=1)).tick()
    assert [call.method for call in api.calls] == ["sendPhoto", "sendMessage"]
    [call] = api.sent
    assert ("bold", "Report for 2026-11-23 (UTC)") in call.entities
    assert await daemons.telegram("refused") is None
    assert await daemons.unsent() == 0
    assert events(logged).count("delivery.unsendable") == 1


async def test_a_chat_that_takes_no_text_either_refuses(daemons: Deliveries, api: BotApi) -> None:
    await a_report(daemons)
    api.always[CHAT] = bad_request("not enough rights to send messages to the chat")
    await (await daemons.start()).tick()
    assert [call.method for call in api.calls] == ["sendPhoto", "sendMessage"]
    assert "not enough rights" in await daemons.telegram("refused")
    assert await daemons.unsent() == 1


@pytest.mark.parametrize("answer", [KICKED, HTML_502], ids=["refused", "unanswered"])
async def test_what_cannot_be_told_holds_up_nothing_that_is_new(
    daemons: Deliveries, api: BotApi, answer: Answer
) -> None:
    poison = await daemons.happens(Kind.FAILED, facts={"count": 1, "failed_now": 1})
    delivery = await daemons.start(retry_seconds=600)
    api.once.append(answer)
    await delivery.tick()
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await delivery.tick()
    assert len(api.texts()) == 1
    # Alone, and not along with what may fail for ever.
    assert (await daemons.row(poison))["sent_at"] is None
    assert await daemons.unsent() == 1


@pytest.mark.parametrize("answer", [KICKED, HTML_502], ids=["refused", "unanswered"])
async def test_what_was_never_tried_goes_before_what_failed(
    daemons: Deliveries, api: BotApi, answer: Answer
) -> None:
    poison = await daemons.happens(Kind.FAILED, facts={"count": 1, "failed_now": 1})
    delivery = await daemons.start(again_seconds=0)
    api.once.append(answer)
    await delivery.tick()
    beginning = await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await delivery.tick()
    assert len(api.sent) == 2
    told_at = [(await daemons.row(number))["sent_at"] for number in (beginning, poison)]
    assert told_at == sorted(told_at)


@pytest.mark.parametrize("answer", [HTML_502, HANG], ids=["a 502", "silence"])
async def test_one_chat_without_answers_keeps_nothing_from_the_other(
    daemons: Deliveries,
    api: BotApi,
    logged: Callable[[], list[dict[str, Any]]],
    answer: Answer,
) -> None:
    both = (CHAT, OTHER_CHAT)
    api.always[CHAT] = answer
    delivery = await daemons.start(
        chats=both, critical_chats=both, timeout_seconds=1, retry_seconds=600
    )
    for phase in (Phase.BEGAN, Phase.LASTS, Phase.ENDED):
        await daemons.happens(Kind.OUTAGE, phase, facts={**OUTAGE, "seconds": 60})
        await delivery.tick()
    await delivery.tick()
    assert len(api.texts(OTHER_CHAT)) == 3
    assert [call.chat for call in api.calls].count(CHAT) == 3
    assert events(logged).count("delivery.unavailable") == 1
    # It hears what it missed, in one message.
    api.always.clear()
    await (await daemons.start(chats=both, critical_chats=both)).tick()
    assert len(api.texts(CHAT)) == 1
    assert len(api.texts(OTHER_CHAT)) == 3
    assert await daemons.unsent() == 0


async def test_one_chat_that_is_always_flooded_keeps_nothing_from_the_other(
    daemons: Deliveries, api: BotApi
) -> None:
    both = (CHAT, OTHER_CHAT)
    api.always[CHAT] = flood(30)
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start(chats=both, critical_chats=both)
    await delivery.tick()
    await daemons.end_pauses()
    await delivery.tick()
    assert len(api.texts(OTHER_CHAT)) == 1


async def test_a_telegram_that_is_away_costs_one_call_a_round(
    daemons: Deliveries, api: BotApi
) -> None:
    chats = (CHAT, OTHER_CHAT, "-1003", "-1004")
    api.chats.update(chats)
    api.always[""] = HTML_502
    for kind in (Kind.OUTAGE, Kind.STALLED, Kind.PARKED):
        await daemons.happens(kind, Phase.BEGAN)
    delivery = await daemons.start(chats=chats, critical_chats=chats)
    # The first round has to find out: two chats.
    await delivery.tick()
    assert len(api.calls) == 2
    for rounds in range(1, 6):
        await delivery.tick()
        assert len(api.calls) == 2 + rounds
    # In turn: one of them might answer.
    assert {call.chat for call in api.calls} == set(chats)
    api.always.clear()
    for _ in range(2):
        await delivery.tick()
    assert await daemons.unsent() == 0


async def test_a_telegram_that_is_away_is_not_called_while_it_rests(
    daemons: Deliveries, api: BotApi
) -> None:
    both = (CHAT, OTHER_CHAT)
    api.always[""] = HTML_502
    delivery = await daemons.start(chats=both, critical_chats=both, retry_seconds=600)
    for kind in (Kind.OUTAGE, Kind.STALLED, Kind.PARKED):
        await daemons.happens(kind, Phase.BEGAN)
    for _ in range(10):
        await delivery.tick()
    # What is new was tried once, one after the other.
    assert len(api.calls) == 4


async def test_a_report_without_an_answer_rests_in_both_forms(
    daemons: Deliveries, api: BotApi
) -> None:
    api.always[""] = HTML_502
    await a_report(daemons)
    delivery = await daemons.start(retry_seconds=600)
    for _ in range(3):
        await delivery.tick()
    assert [call.method for call in api.calls] == ["sendPhoto", "sendMessage"]
    assert await daemons.telegram("sender") is None


async def test_what_was_sent_without_a_number_is_not_sent_again(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    api.once.append(Answer(status=200, body={"ok": True, "result": True}, is_done=True))
    delivery = await daemons.start()
    for _ in range(2):
        await delivery.tick()
    assert len(api.sent) == 1
    assert await daemons.unsent() == 0


async def test_what_cannot_be_worded_is_told_all_the_same(
    daemons: Deliveries, api: BotApi, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    class Broken(Catalogue):
        def message(self, *_: object) -> Message:
            raise ZeroDivisionError

    await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=ACCOUNT)
    words = Broken(words=catalogue("en").words)
    await (await daemons.start(words=words)).tick()
    assert api.texts() == [f"parked began {ACCOUNT}\nstocksync status"]
    assert "delivery.unworded" in events(logged)


async def test_a_mute_keeps_all_daemons_quiet_and_what_happened_is_told_at_its_end(
    daemons: Deliveries, api: BotApi
) -> None:
    one, other = await daemons.start(), await daemons.start()
    await daemons.mute()
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=ACCOUNT)
    for each in (one, other):
        assert await each.tick() <= 2
    await daemons.happens(Kind.OUTAGE, Phase.ENDED, facts={"seconds": 600})
    await daemons.pass_time("59 minutes")
    await one.tick()
    assert api.calls == []
    await daemons.pass_time("1 minute")
    await one.tick()
    await other.tick()
    [text] = api.texts()
    assert "Delayed: 3 events" in text


async def test_a_group_gets_at_most_twenty_messages_a_minute(
    daemons: Deliveries, api: BotApi
) -> None:
    one, other = await daemons.start(), await daemons.start()
    sent_by_second = []
    for second in range(0, 180, 2):
        await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=account(second))
        await (one if second % 4 else other).tick()
        sent_by_second.append((second, len(api.sent)))
        await daemons.pass_time("2 seconds")
    counts = dict(sent_by_second)
    assert max(counts[s] - counts.get(s - 60, 0) for s in counts) <= 20
    # Nothing was left out: what came too fast was told together.
    await daemons.pass_time("1 minute")
    await one.tick()
    assert await daemons.unsent() == 0
    assert 20 < len(api.sent) <= 45


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_fails_and_whoever_restarts_each_chat_hears_of_each_change_once(
    daemons: Deliveries, api: BotApi, seed: int
) -> None:
    chance, is_over = random.Random(seed), asyncio.Event()
    both, tokens = (CHAT, OTHER_CHAT), [f"{n:07}" for n in range(30)]

    async def live(host: str) -> None:
        while not is_over.is_set():
            delivery = await daemons.start(
                chats=both, critical_chats=both, again_seconds=0, host=host
            )
            # Let it tell something, and stop it wherever it is then.
            for _ in range(chance.randrange(1, 5)):
                telling = asyncio.create_task(delivery.tick())
                await asyncio.wait([telling], timeout=chance.choice([0.005, 0.02, 5]))
                telling.cancel()
                await asyncio.wait([telling])
                assert telling.cancelled() or telling.exception() is None

    lives = [asyncio.create_task(live(host)) for host in ("a", "b", "c")]
    for token in tokens:
        await daemons.happens(Kind.PARKED, Phase.BEGAN, token_id=token)
        api.once.append(chance.choice([KICKED, HTML_502, flood(1), bad_request("chat not found")]))
        await daemons.end_pauses()
    async with asyncio.timeout(60):
        while await daemons.unsent():
            await daemons.end_pauses()
    is_over.set()
    await asyncio.gather(*lives)
    for chat in both:
        heard = [sum(token in text for text in api.texts(chat)) for token in tokens]
        assert heard == [1] * len(tokens)


@pytest.mark.parametrize("query", ["changes_claim", "changes_unsent"])
async def test_a_look_costs_what_is_unsent_however_much_was_sent(
    daemons: Deliveries, database: Database, query: str
) -> None:
    connection = daemons.outbox.connection
    await connection.execute(
        "INSERT INTO stock_sync_changes (kind, phase, sent_at)"
        " SELECT 'outage', 'began', now() FROM generate_series(1, 20000)"
    )
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    await connection.execute("ANALYZE stock_sync_changes")
    wanted = (["outage"], [CHAT], [CHAT])
    given = (uuid4(), 60.0, *wanted, []) if query == "changes_claim" else (*wanted, [], 200)
    plan = await connection.fetch(f"EXPLAIN {database.query(query)}", *given)
    assert "stock_sync_changes_unsent" in "\n".join(line[0] for line in plan)


async def test_a_kind_of_a_newer_version_is_left_to_its_daemons(
    daemons: Deliveries, api: BotApi
) -> None:
    await daemons.outbox.connection.execute(
        "INSERT INTO stock_sync_changes (kind, phase) VALUES ('eclipse', 'began')"
    )
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start()
    for _ in range(2):
        assert await delivery.tick() == 2
    assert len(api.sent) == 1


def parked() -> Change:
    return Change(
        at=datetime.now(UTC), kind=Kind.PARKED, phase=Phase.BEGAN, token_id=ACCOUNT, facts={}
    )


class Service:
    """Answers with what it holds, or not at all."""

    def __init__(self) -> None:
        self.asked = 0
        self.names: dict[str, str] | None = dict(NAMES)
        self.answers = asyncio.Event()
        self.answers.set()

    async def accounts(self) -> dict[str, str]:
        self.asked += 1
        await self.answers.wait()
        if self.names is None:
            raise ServiceUnavailable("refused")
        return self.names


async def test_names_are_asked_for_once_in_a_while_and_only_where_there_is_an_account() -> None:
    service = Service()
    names = Names(accounts=service.accounts)
    of_all = Change(at=datetime.now(UTC), kind=Kind.OUTAGE, phase=Phase.BEGAN, facts=OUTAGE)
    assert await names.of([of_all]) == {}
    assert service.asked == 0
    example = Change(
        at=datetime.now(UTC),
        kind=Kind.FAILED,
        phase=Phase.HAPPENED,
        facts={"examples": [{"token_id": ACCOUNT}]},
    )
    for change in (example, parked(), parked()):
        assert await names.of([of_all, change]) == NAMES
    assert service.asked == 1


@pytest.mark.parametrize("names_there", [None, {}], ids=["it fails", "its database is away"])
async def test_a_service_without_names_is_not_asked_for_every_message(
    names_there: dict[str, str] | None,
) -> None:
    service = Service()
    service.names = names_there
    names = Names(accounts=service.accounts)
    for _ in range(3):
        assert await names.of([parked()]) == {}
    assert service.asked == 1


async def test_a_slow_service_does_not_hold_up_a_message() -> None:
    service = Service()
    service.answers.clear()
    names = Names(accounts=service.accounts, patience_seconds=0.05)
    async with asyncio.timeout(5):
        assert await names.of([parked()]) == {}


async def test_names_that_are_known_stay_known_when_the_service_is_away() -> None:
    service = Service()
    names = Names(accounts=service.accounts)
    await names.of([parked()])
    service.names = None
    names._ask_at = 0
    assert await names.of([parked()]) == NAMES
    assert service.asked == 2


async def test_a_wrong_answer_for_the_token_is_no_matter_of_one_chat(
    daemons: Deliveries, api: BotApi
) -> None:
    both = (CHAT, OTHER_CHAT)
    api.always[""] = UNAUTHORIZED
    await daemons.happens(Kind.OUTAGE, Phase.BEGAN)
    delivery = await daemons.start(chats=both, critical_chats=both)
    await delivery.tick()
    assert await daemons.telegram("refused") == (
        f"chat {CHAT}: Unauthorized; chat {OTHER_CHAT}: Unauthorized"
    )
    assert len(api.calls) == 2
