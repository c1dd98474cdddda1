"""`stocksync check`: one line for each thing that a daemon needs, and an exit code for scripts."""

import asyncio
import json

import asyncpg
import pytest

from stocksync.cli import main
from tests.service import SECRET, USER_ID, running_stand_in
from tests.telegram_fake import CHAT, TOKEN, UNAUTHORIZED, running_bot_api

NAMES = ("settings", "database", "schema", "microservice", "credentials", "telegram")


class Shell:
    """A shell with settings in its environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._monkeypatch.setenv(f"STOCK_SYNC_{name}", value)

    async def check(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """The exit code, and each check's state and words."""
        # A command has an event loop of its own.
        code = await asyncio.get_running_loop().run_in_executor(None, main, ["check", "--json"])
        checks = json.loads(self._capsys.readouterr().out)["checks"]
        return code, {each["name"]: (each["state"], each["says"]) for each in checks}


@pytest.fixture
def shell(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(monkeypatch, capsys)
    shell.set(
        DATABASE_URL=dsn,
        MICROSERVICE_JWT_SECRET=SECRET,
        MICROSERVICE_JWT_USER_ID=USER_ID,
        MICROSERVICE_TIMEOUT_SECONDS="2",
    )
    return shell


async def test_all_is_well(shell: Shell) -> None:
    async with running_stand_in() as stand_in, running_bot_api() as bot_api:
        shell.set(
            MICROSERVICE_URL=stand_in.url,
            TELEGRAM_BOT_TOKEN=TOKEN,
            TELEGRAM_CHAT_ID=CHAT,
            TELEGRAM_API_URL=bot_api.url,
        )
        code, checks = await shell.check()
        assert code == 0
        assert {state for state, _ in checks.values()} == {"ok"}
        assert list(checks) == [*NAMES, f"chat {CHAT}"]
        assert bot_api.sent == []


async def test_telegram_that_is_not_set_up_is_no_failure(shell: Shell) -> None:
    async with running_stand_in() as stand_in:
        shell.set(MICROSERVICE_URL=stand_in.url)
        code, checks = await shell.check()
    assert code == 0
    assert checks["telegram"] == ("skipped", "not set up: alerts go to the log only")


async def test_wrong_settings_are_told_one_line_each(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.set(MICROSERVICE_URL="nowhere", CONCURRENCY="many")
    code = await asyncio.get_running_loop().run_in_executor(None, main, ["check"])
    said = capsys.readouterr().out
    assert code == 78
    assert said.count("FAILED: ") == 2
    assert "STOCK_SYNC_CONCURRENCY" in said
    assert "STOCK_SYNC_MICROSERVICE_URL" in said


@pytest.mark.parametrize(
    ("name", "code", "settings"),
    [
        ("database", 69, {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}),
        ("microservice", 69, {"MICROSERVICE_URL": "http://127.0.0.1:1"}),
        ("credentials", 69, {"MICROSERVICE_JWT_SECRET": "another secret of some length, 32 bytes"}),
        ("schema", 78, {"DATABASE_SCHEMA": "elsewhere"}),
    ],
)
async def test_what_does_not_work_is_named_and_gives_its_exit_code(
    shell: Shell, name: str, code: int, settings: dict[str, str]
) -> None:
    async with running_stand_in() as stand_in:
        shell.set(**({"MICROSERVICE_URL": stand_in.url} | settings))
        found, checks = await shell.check()
    assert checks[name][0] == "failed"
    assert found == code
    assert SECRET not in str(checks)


async def test_a_wrong_bot_token_is_said_without_telling_it(shell: Shell) -> None:
    async with running_stand_in() as stand_in, running_bot_api() as bot_api:
        bot_api.always[""] = UNAUTHORIZED
        shell.set(
            MICROSERVICE_URL=stand_in.url,
            TELEGRAM_BOT_TOKEN=TOKEN,
            TELEGRAM_CHAT_ID=CHAT,
            TELEGRAM_API_URL=bot_api.url,
        )
        code, checks = await shell.check()
    assert code == 78
    assert checks["telegram"][0] == "failed"
    assert TOKEN not in str(checks)


async def test_rights_that_the_role_lacks_are_named(shell: Shell, dsn: str) -> None:
    owner = await asyncpg.connect(dsn)
    try:
        await owner.execute("CREATE ROLE checks_without_rights LOGIN")
        await owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO checks_without_rights")
        async with running_stand_in() as stand_in:
            shell.set(
                MICROSERVICE_URL=stand_in.url,
                DATABASE_URL=dsn.replace("postgres@", "checks_without_rights@", 1),
            )
            code, checks = await shell.check()
    finally:
        await owner.execute("DROP OWNED BY checks_without_rights")
        await owner.execute("DROP ROLE checks_without_rights")
        await owner.close()
    assert code == 78
    assert "hidden from us: no member of pg_read_all_stats" in checks["database"][1]
    assert "INSERT on pending_stock_operations" in checks["schema"][1]
    assert "stocksync grants --daemon checks_without_rights" in checks["schema"][1]
