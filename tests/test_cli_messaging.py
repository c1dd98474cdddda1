"""notify, mute, unmute: as commands, with the exit codes that a service manager sees."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.importing import imported
from tests.outbox import Outbox
from tests.telegram_fake import (
    CHAT,
    HTML_502,
    OTHER_CHAT,
    TOKEN,
    UNAUTHORIZED,
    Answer,
    BotApi,
    bad_request,
    flood,
    running_bot_api,
)
from tests.test_cli import plain_environment


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with running_bot_api() as api:
        yield api


async def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stocksync", *words],
        env=plain_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def bot(api: BotApi, **settings: str) -> dict[str, str]:
    return {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_CHAT_ID": CHAT,
        "TELEGRAM_API_URL": api.url,
        "LANGUAGE": "en",
        **settings,
    }


async def test_notify_tells_the_critical_chats_with_nothing_but_telegram_s_settings(
    api: BotApi,
) -> None:
    text = "stocksync.service on db-1 failed: <b> & *co*"
    chats = {"TELEGRAM_CRITICAL_CHAT_ID": OTHER_CHAT, "TELEGRAM_THREAD_ID": "7"}
    ended = await run("notify", text, **bot(api, **chats))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"sent to {OTHER_CHAT}\n", "")
    [call] = api.sent
    assert call.chat == OTHER_CHAT
    assert text in call.text
    assert call.fields["message_thread_id"] == "7"


async def test_notify_tells_every_chat_that_it_can_and_says_which_it_cannot(api: BotApi) -> None:
    ended = await run("notify", "hello", "--json", **bot(api, TELEGRAM_CHAT_ID=f"-404,{CHAT}"))
    assert ended.returncode == 78
    assert json.loads(ended.stdout) == {
        "sent_to": [CHAT],
        "not_sent_to": {"-404": "Bad Request: chat not found"},
    }
    assert ended.stderr == "stocksync: Bad Request: chat not found\n"
    assert len(api.texts()) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [(HTML_502, 69), (flood(30), 69), (UNAUTHORIZED, 78), (bad_request("strange"), 1)],
    ids=["502", "429", "401", "400"],
)
async def test_what_notify_exits_with(api: BotApi, answer: Answer, code: int) -> None:
    api.always[""] = answer
    ended = await run("notify", "hello", **bot(api))
    assert ended.returncode == code
    assert ended.stdout.startswith(f"not sent to {CHAT}: ")
    assert ended.stderr.startswith("stocksync: ")
    assert "Traceback" not in ended.stderr
    assert "the-secret" not in ended.stdout + ended.stderr


async def test_notify_without_a_bot_is_78_and_without_words_2(api: BotApi) -> None:
    ended = await run("notify", "hello")
    assert ended.returncode == 78
    assert ended.stderr == "stocksync: STOCK_SYNC_TELEGRAM_BOT_TOKEN: is required\n"
    for words in ((" ",), (), ("hello", "--failed", "stocksync.service"), ("--failed", "")):
        assert (await run("notify", *words, **bot(api))).returncode == 2
    assert api.calls == []


@pytest.mark.parametrize(
    ("language", "head"),
    [
        ("en", "has crashed and will not restart on its own (stocksync@shop.service)"),
        ("ru", "аварийно завершился и сам не перезапустится (stocksync@shop.service)"),
    ],
)
async def test_a_unit_that_systemd_gave_up_is_told_in_the_language_with_what_to_do(
    api: BotApi, language: str, head: str
) -> None:
    ended = await run("notify", "--failed", "stocksync@shop.service", **bot(api, LANGUAGE=language))
    assert (ended.returncode, ended.stderr) == (0, "")
    [call] = api.sent
    first, *others = call.text.splitlines()
    assert first.startswith("🔴 stocksync ")
    assert socket.gethostname() in first
    assert first.endswith(head)
    for verb in ("status", "restart"):
        assert f"systemctl {verb} stocksync@shop.service" in others


async def test_a_mute_is_said_with_its_end_and_ended_by_unmute(dsn: str, outbox: Outbox) -> None:
    ended = await run("mute", "--minutes", "30", DATABASE_URL=dsn)
    assert ended.returncode == 0
    assert ended.stdout.startswith("no messages for 30 minutes, until ")
    row = await outbox.connection.fetchrow(
        "SELECT muted_until - now() AS left, muted_by FROM stock_sync_telegram"
    )
    assert row is not None
    assert 29 * 60 < row["left"].total_seconds() <= 30 * 60
    assert "@" in row["muted_by"]
    for expected in (True, False):
        ended = await run("unmute", "--json", DATABASE_URL=dsn)
        assert ended.returncode == 0
        assert json.loads(ended.stdout) == {"was_muted": expected}
    assert await outbox.connection.fetchval("SELECT muted_until <= now() FROM stock_sync_telegram")


async def test_a_mute_is_an_hour_unless_said_otherwise_and_a_week_at_most(
    dsn: str, outbox: Outbox
) -> None:
    ended = await run("mute", "--json", DATABASE_URL=dsn)
    document = json.loads(ended.stdout)
    until = await outbox.connection.fetchval("SELECT muted_until FROM stock_sync_telegram")
    assert document["muted_until"] == until.isoformat().replace("+00:00", "Z")
    assert await outbox.connection.fetchval(
        "SELECT muted_until > now() + interval '59 minutes' FROM stock_sync_telegram"
    )
    assert (await run("mute", "--minutes", "10081", DATABASE_URL=dsn)).returncode == 2


@pytest.mark.parametrize("verb", ["mute", "unmute"])
async def test_without_a_database_it_is_69(verb: str) -> None:
    ended = await run(verb, DATABASE_URL="postgresql://u@127.0.0.1:1/db")
    assert ended.returncode == 69


def test_only_notify_imports_aiogram() -> None:
    assert imported("import stocksync.cli.verbs", "aiogram", "matplotlib") == set()


async def test_a_misspelt_setting_that_made_a_unit_fail_does_not_keep_that_from_being_told(
    api: BotApi,
) -> None:
    misspelt = {"CONCURENCY": "8"}
    ended = await run("notify", "--failed", "stocksync.service", **bot(api), **misspelt)
    assert ended.returncode == 0, ended.stderr
    assert "stocksync.service" in api.texts()[0]
