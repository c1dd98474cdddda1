"""The verb `check`: everything that a daemon needs, asked for once, one line each."""

from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

from stocksync import schema, settings, telemetry
from stocksync.cli.codes import exit_code
from stocksync.cli.layout import pairs
from stocksync.cli.session import show
from stocksync.daemon.opening import open_database, open_gateway, open_telegram
from stocksync.daemon.rooms import GROUPS
from stocksync.database import Database
from stocksync.gateway import Gateway
from stocksync.model import DatabaseRefused, ServiceUnavailable, SettingsError, StocksyncError
from stocksync.telegram import Telegram


class State(StrEnum):
    """How one of them is."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One line."""

    name: str
    state: State
    says: str
    error: StocksyncError | None = None


async def check(arguments: Namespace) -> int:
    """Ask everything; gives the exit code of the first that failed."""
    # What goes wrong is said by the lines.
    telemetry.configure("error")
    lines = [line async for line in _all(arguments)]
    document = {
        "is_ok": not any(line.error for line in lines),
        "checks": [
            {name: value for name, value in asdict(line).items() if name != "error"}
            for line in lines
        ],
    }
    show(arguments, document, lambda: pairs([(line.name, _text(line)) for line in lines]))
    return next((exit_code(line.error) for line in lines if line.error), 0)


async def _all(arguments: Namespace) -> AsyncIterator[Checked]:
    try:
        loaded = settings.load(*GROUPS, settings.Log, env_file=arguments.env_file)
    except SettingsError as error:
        for problem in error.problems:
            yield Checked(name="settings", state=State.FAILED, says=problem, error=error)
        yield Checked(name="the rest", state=State.SKIPPED, says="settings first")
        return
    yield Checked(name="settings", state=State.OK, says="complete, and they fit together")
    async with open_database(loaded[settings.Database]) as database:
        database_line = await _asked("database", lambda: _connected(database))
        yield database_line
        if database_line.error:
            yield Checked(name="schema", state=State.SKIPPED, says="the database first")
        else:
            yield await _asked("schema", lambda: _verified(database))
        async with open_gateway(loaded[settings.Service], database=database) as gateway:
            yield await _asked("microservice", lambda: _healthy(gateway))
            yield await _asked("credentials", lambda: _accepted(gateway))
    async for line in _telegram(loaded[settings.Telegram]):
        yield line


async def _connected(database: Database) -> str:
    state = await database.fetchrow("schema_state", database.schema)
    assert state is not None  # noqa: S101 - a SELECT without FROM has a row
    blind = "; whose session holds a snapshot is hidden from us: no member of pg_read_all_stats"
    return (
        f"{database.target}: Postgres {state['server_version'] // 10000}"
        f"{'' if state['sees_sessions'] else blind}"
    )


async def _verified(database: Database) -> str:
    await schema.verify(database)
    if missing := await database.fetch("rights_missing", database.schema):
        lacking = ", ".join(f"{row['right']} on {row['name']}" for row in missing)
        raise DatabaseRefused(
            f"the role {missing[0]['role']!r} lacks {lacking}: `stocksync grants --daemon "
            f"{missing[0]['role']}` prints what its owner has to run"
        )
    return f"the tables in {database.schema!r} are of this version, and ours to change"


async def _healthy(gateway: Gateway) -> str:
    health = await gateway.health()
    if health.is_healthy is False:
        raise ServiceUnavailable(f"{gateway.base_url}: {health.reason}")
    # A service without that route says nothing by it.
    return f"{gateway.base_url}: {health.reason}"


async def _accepted(gateway: Gateway) -> str:
    return f"accepted; accounts known to it: {len(await gateway.accounts())}"


async def _telegram(group: settings.Telegram) -> AsyncIterator[Checked]:
    if group.telegram_bot_token is None:
        says = "not set up: alerts go to the log only"
        yield Checked(name="telegram", state=State.SKIPPED, says=says)
        return
    telegram = open_telegram(group)
    assert telegram is not None  # noqa: S101 - there is a token
    try:
        yield await _asked("telegram", telegram.me)
        for chat in dict.fromkeys((*group.telegram_chat_id, *group.critical_chats)):
            yield await _asked(f"chat {chat}", _named(telegram, chat))
    finally:
        await telegram.aclose()


def _named(telegram: Telegram, chat: str) -> Callable[[], Awaitable[str]]:
    return lambda: telegram.chat(chat)


async def _asked(name: str, ask: Callable[[], Awaitable[str]]) -> Checked:
    try:
        says = await ask()
    except StocksyncError as error:
        return Checked(name=name, state=State.FAILED, says=telemetry.mask(str(error)), error=error)
    return Checked(name=name, state=State.OK, says=says)


def _text(line: Checked) -> str:
    return line.says if line.state is State.OK else f"{line.state.upper()}: {line.says}"
