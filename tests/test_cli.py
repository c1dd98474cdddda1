"""The command line: exit codes, one JSON document, and a story that a person can read."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

import stocksync
from stocksync.cli import main
from stocksync.cli.arguments import command_line
from stocksync.cli.layout import distance, one_line, span, table
from stocksync.model import Status
from stocksync.store import Store
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.service import SECRET, TOKEN_ID, USER_ID, running_stand_in
from tests.settling import DONE, REFUSED, RETRY, claim, settle


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("STOCK_SYNC_", "ALLEGRO_", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
    return monkeypatch


class Cli:
    """The command in this process, and what it said last."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    async def __call__(self, *words: object) -> int:
        """Run it in a thread: it has a loop of its own."""
        return await asyncio.to_thread(self.call, *words)

    def call(self, *words: object) -> int:
        try:
            return main([str(word) for word in words])
        except SystemExit as exit_:
            return int(exit_.code or 0)
        finally:
            self.out, self.err = self._capsys.readouterr()
            assert "Traceback" not in self.err

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def use(nothing_set: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set settings, by their names without the prefix."""

    def use(**settings: str) -> None:
        for name, value in settings.items():
            nothing_set.setenv(f"STOCK_SYNC_{name}", value)

    return use


@pytest.fixture
def there(dsn: str, use: Callable[..., None]) -> None:
    """The settings name a migrated database."""
    use(DATABASE_URL=dsn)


def plain_environment(**settings: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STOCK_SYNC_", "ALLEGRO_"))}
    return kept | {f"STOCK_SYNC_{name}": value for name, value in settings.items()}


def run_command(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stocksync", *words],
        env=plain_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- usage ---------------------------------------------------------------------------------------


def test_without_a_command_it_says_what_there_is(cli: Cli) -> None:
    assert cli.call() == 0
    assert "migrate" in cli.out
    assert "exit codes: 0 done" in cli.out


def test_it_knows_its_version(cli: Cli) -> None:
    assert cli.call("--version") == 0
    assert cli.out == f"stocksync {stocksync.__version__}\n"


def test_help_does_not_wait_for_the_driver() -> None:
    program = (
        "import sys; from stocksync.cli.arguments import command_line; import stocksync.cli;"
        "command_line().format_help();"
        "print(*{'asyncpg', 'httpx', 'pydantic', 'structlog', 'asyncio'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout == "\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["show", "not-an-id"], "'not-an-id' is not an operation's id (a UUID)"),
        (["retry", str(uuid4()), "7"], "'7' is not an operation's id (a UUID)"),
        (["cancel"], "required: ID"),
        (["list", "--token", "mine"], "'mine' is not an account's token (a UUID)"),
        (["list", "--status", "done"], "invalid choice: 'done'"),
        (["list", "--limit", "0"], "'0' is not a whole number from 1 to 10000"),
        (["list", "--offset", "-1"], "'-1' is not a whole number from 0 to"),
        (["show"], "give an operation's ID, or --order ORDER"),
        (["show", str(uuid4()), "--order", "4711"], "give an operation's ID, or --order ORDER"),
        (["show", str(uuid4()), "--token", ACCOUNT], "--token goes with --order"),
        (["show", "--order", "\udcff"], "is not UTF-8"),
        (["lst"], "invalid choice: 'lst'"),
        (["list", "--stat", "failed"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_is_2_and_says_what_is_wrong(
    cli: Cli, words: list[str], complaint: str
) -> None:
    assert cli.call(*words) == 2
    assert complaint in cli.err
    assert cli.out == ""


def test_an_account_is_found_however_its_token_is_written() -> None:
    arguments = command_line().parse_args(["list", "--token", ACCOUNT.upper()])
    assert arguments.token == ACCOUNT


# --- exit codes ----------------------------------------------------------------------------------


def test_each_wrong_setting_is_a_line_and_78(cli: Cli, use: Callable[..., None]) -> None:
    use(DATABASE_URL="mysql://u:geheim@h/db", DATABASE_SCHEME="x", DATABASE_PGBOUNCER="perhaps")
    assert cli.call("status") == 78
    lines = cli.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("stocksync: STOCK_SYNC_DATABASE_") for line in lines)
    assert "geheim" not in cli.err


def test_a_command_asks_only_for_what_it_uses(cli: Cli) -> None:
    assert cli.call("list") == 78
    assert cli.err == "stocksync: STOCK_SYNC_DATABASE_URL: is required\n"


def test_the_daemon_says_all_that_is_missing_at_once_and_ends_with_78() -> None:
    ended = run_command("run")
    assert ended.returncode == 78
    assert "STOCK_SYNC_DATABASE_URL: is required" in ended.stderr
    assert "STOCK_SYNC_MICROSERVICE_URL: is required" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_env_file_is_taken_before_and_after_the_command(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "env"
    assert cli.call("--env-file", missing, "list") == 78
    assert str(missing) in cli.err
    assert cli.call("list", "--env-file", missing) == 78
    assert str(missing) in cli.err


async def test_an_env_file_has_the_settings(cli: Cli, dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(f"STOCK_SYNC_DATABASE_URL={dsn}\n")
    assert await cli("list", "--env-file", path) == 0


@pytest.mark.parametrize("words", [["status"], ["list"], ["show", uuid4()], ["retry", uuid4()]])
async def test_without_tables_it_is_78_and_says_what_to_run(
    cli: Cli, use: Callable[..., None], empty_dsn: str, words: list[object]
) -> None:
    use(DATABASE_URL=empty_dsn)
    assert await cli(*words) == 78
    assert "run `stocksync migrate`" in cli.err


def test_the_daemon_without_tables_ends_with_78(empty_dsn: str) -> None:
    ended = run_command(
        "run",
        DATABASE_URL=empty_dsn,
        MICROSERVICE_URL="http://127.0.0.1:1",
        MICROSERVICE_JWT="a.b.c",
    )
    assert ended.returncode == 78
    assert "stocksync: there are no tables" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_database_that_is_not_there_is_69(cli: Cli, use: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    use(DATABASE_URL=f"postgresql://u:geheim@127.0.0.1:{port}/db")
    for words in (["status"], ["migrate"], ["cancel", uuid4()]):
        assert await cli(*words) == 69
        assert cli.err.startswith("stocksync: the database cannot be reached: ")
        assert len(cli.err.splitlines()) == 1
        assert "geheim" not in cli.err


async def test_a_database_that_refuses_is_configuration(
    cli: Cli, use: Callable[..., None], dsn: str
) -> None:
    use(DATABASE_URL=re.sub(r"/stocksync_test_\w+", "/nowhere", dsn))
    assert await cli("status") == 78
    assert cli.err.startswith("stocksync: the database refuses: ")


@pytest.mark.usefixtures("there")
async def test_an_unknown_operation_is_3(cli: Cli) -> None:
    stranger = uuid4()
    for words in (["show", stranger], ["retry", stranger], ["cancel", stranger]):
        assert await cli(*words) == 3
        assert cli.err == f"stocksync: there is no operation {stranger}\n"
    assert await cli("show", "--order", "nowhere") == 3


@pytest.mark.usefixtures("there")
async def test_what_its_status_does_not_allow_is_4(cli: Cli, outbox: Outbox, store: Store) -> None:
    row_id = await outbox.insert()
    await claim(store)
    assert await cli("cancel", row_id) == 4
    assert f"{row_id} is processing" in cli.err
    assert cli.out == ""


def test_a_reader_that_has_seen_enough_is_no_error(dsn: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "stocksync", "status"],
            env=plain_environment(DATABASE_URL=dsn),
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_missing_extra_is_said_with_what_to_install() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None; sys.modules['rich'] = None;"
        "from stocksync.cli import main; sys.exit(main(['demo', '--orders', '1']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "pip install 'stocksync[demo]'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_interrupted_command_is_130_and_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-m", "stocksync", "list"],
            env=plain_environment(
                DATABASE_URL=f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db"
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


# --- migrate -------------------------------------------------------------------------------------


async def test_migrate_applies_once_and_a_dry_run_nothing(
    cli: Cli, use: Callable[..., None], empty_dsn: str
) -> None:
    use(DATABASE_URL=empty_dsn)
    assert await cli("migrate", "--dry-run") == 0
    assert "would apply 0001_tables" in cli.out
    assert await cli("list") == 78
    assert await cli("migrate", "--json", "--with-foreign-keys") == 0
    assert cli.document["migrations"][0] == "0001_tables"
    assert [key["table"] for key in cli.document["foreign_keys"]] == [
        "allegro_tokens",
        "allegro_orders",
    ]
    assert await cli("migrate") == 0
    assert cli.out == "nothing to do\n"
    assert await cli("list") == 0


async def test_tables_that_are_not_ours_are_refused_with_1(
    cli: Cli, use: Callable[..., None], empty_dsn: str
) -> None:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("CREATE TABLE pending_stock_operations (id integer)")
    await connection.close()
    use(DATABASE_URL=empty_dsn)
    assert await cli("migrate") == 1
    assert "STOCK_SYNC_DATABASE_SCHEMA" in cli.err
    assert await cli("status") == 78


# --- reading -------------------------------------------------------------------------------------

COLUMNS = {
    "id", "token_id", "order_id", "allegro_order_id", "operation_type", "sku", "quantity",
    "warehouse", "status", "retry_count", "max_retries", "next_retry_at", "created_at",
    "updated_at", "completed_at", "error_message",
}  # fmt: skip


@pytest.mark.usefixtures("there")
async def test_a_list_has_the_columns_by_their_names(cli: Cli, outbox: Outbox) -> None:
    row_id = await outbox.insert("заказ №1", OTHER_ACCOUNT, max_retries=-1)
    await outbox.insert_units(3)
    assert await cli("list", "--json", "--token", OTHER_ACCOUNT, "--limit", 5) == 0
    document = cli.document
    assert {k: document[k] for k in ("total", "limit", "offset")} == {
        "total": 1,
        "limit": 5,
        "offset": 0,
    }
    [operation] = document["operations"]
    assert operation.keys() >= COLUMNS
    assert UUID(operation["id"]) == row_id
    assert (operation["order_id"], operation["status"]) == ("заказ №1", "pending")
    assert operation["completed_at"] is None
    row = await outbox.row(row_id)
    assert operation["created_at"].endswith("Z")
    assert datetime.fromisoformat(operation["created_at"]) == row["created_at"]


@pytest.mark.usefixtures("there")
async def test_a_list_for_people_says_where_it_ends(cli: Cli, outbox: Outbox) -> None:
    await outbox.insert_units(3)
    assert await cli("list", "--limit", 2, "--offset", 1) == 0
    head, *rows, footer = cli.out.splitlines()
    assert head.split()[:3] == ["ID", "STATUS", "ORDER"]
    assert len(rows) == 2
    assert footer == "2–3 of 3"
    assert await cli("list", "--status", "failed") == 0
    assert cli.out == "none\n"


@pytest.mark.usefixtures("there")
async def test_the_story_of_an_operation(cli: Cli, outbox: Outbox, store: Store) -> None:
    row_id = await outbox.insert("4711")
    await settle(store, await claim(store), REFUSED)
    assert await cli("retry", row_id) == 0
    assert cli.out == "1 operation due now\n"
    await settle(store, await claim(store), RETRY)
    assert await cli("cancel", row_id, "--reason", "sold twice", "--json") == 0
    assert cli.document == {"operation_ids": [str(row_id)]}
    assert await cli("cancel", row_id) == 4

    assert await cli("show", row_id) == 0
    told = [line.split(" UTC  ")[1] for line in cli.out.split("\n\n")[1].splitlines()]
    assert [line.split()[0] for line in told] == [
        "created",
        "failed",
        "manual_retry",
        "retry",
        "cancelled",
    ]
    assert "HTTP 422, 7 ms" in told[1]
    assert REFUSED.reason in told[1]
    assert re.search(r"by \S+@\S+$", told[2])
    assert told[4].endswith(": sold twice")

    assert await cli("show", row_id, "--json") == 0
    document = cli.document
    assert document["operation"]["status"] == "cancelled"
    assert document["history"][1]["details"]["http_status"] == 422
    assert document["history"][4]["details"]["reason"] == "sold twice"
    assert {"action", "status", "details", "timestamp", "execution_time_ms"} <= document["history"][
        0
    ].keys()


@pytest.mark.usefixtures("there")
async def test_an_order_is_shown_with_the_flag_at_the_service(
    cli: Cli, outbox: Outbox, use: Callable[..., None]
) -> None:
    await outbox.insert("4711", TOKEN_ID)
    async with running_stand_in() as service:
        use(
            MICROSERVICE_URL=service.url,
            MICROSERVICE_JWT_SECRET=SECRET,
            MICROSERVICE_JWT_USER_ID=USER_ID,
        )
        assert await cli("show", "--order", "4711", "--json") == 0
        [order] = cli.document["orders"]
        assert (order["wanted_flag"], order["service_flag"]) == (True, False)
        assert order["service_flag_unknown"] is None
        assert (order["balance"], order["waits_for"]) == (1, "due")
        assert len(order["operations"]) == 1
        assert await cli("show", "--order", "4711", "--token", TOKEN_ID) == 0
        assert "false (not what is wanted)" in cli.out


@pytest.mark.usefixtures("there")
async def test_an_order_is_shown_without_the_service_too(
    cli: Cli, outbox: Outbox, use: Callable[..., None]
) -> None:
    await outbox.insert("4711", TOKEN_ID)
    assert await cli("show", "--order", "4711") == 0
    assert "not asked: STOCK_SYNC_MICROSERVICE_URL: is required" in cli.out
    async with running_stand_in() as service:
        use(MICROSERVICE_URL=service.url, MICROSERVICE_JWT="a.b.c")
        assert await cli("show", "--order", "4711", "--json") == 0
        [order] = cli.document["orders"]
        assert order["service_flag"] is None
        assert order["service_flag_unknown"].startswith("no answer: ")
    assert await cli("show", "--order", "4711") == 0
    assert "no answer: no connection" in cli.out


@pytest.mark.usefixtures("there")
async def test_the_status_is_a_verdict_with_its_reasons(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    assert await cli("status") == 0
    assert cli.out.startswith("OK\n")
    await outbox.insert()
    await settle(store, await claim(store), DONE)
    await outbox.insert()
    assert await cli("status") == 0
    assert cli.out.startswith("STALLED\n  rows due: 1, ")
    assert await cli("status", "--json") == 0
    document = cli.document
    assert document.keys() == {"verdict", "reasons", "numbers", "daemons", "oldest_snapshot"}
    assert (document["verdict"], len(document["reasons"])) == ("STALLED", 1)
    numbers = document["numbers"]
    assert {status: numbers[status] for status in Status} == {
        "pending": 1, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert numbers["first_try_share"] == 1.0
    assert numbers["oldest_due_seconds"] > 0


# --- layout --------------------------------------------------------------------------------------


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(("A", "NUMBER"), [("long", "7"), ("x", "12")]) == (
        "A     NUMBER\nlong       7\nx         12"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(3, "3 s"), (89, "89 s"), (240, "4 min"), (7200, "2 h"), (260_000, "3 days")],
)
def test_a_length_of_time_is_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_time_says_how_far_it_is() -> None:
    noon, later = (datetime.fromisoformat(f"2026-05-04T12:0{n}:00Z") for n in (0, 4))
    assert distance(later, noon) == "in 4 min"
    assert distance(noon, later) == "4 min ago"
    assert distance(noon, noon) == "now"


def test_nothing_that_is_shown_moves_the_cursor() -> None:
    assert one_line("кот\x1b[2J\n\u202e") == "кот\\x1b[2J\\n\\u202e"


def test_letters_that_the_terminal_has_not_are_shown_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    main([])
    terminal.write("кот")
    assert b"\\u043a" in terminal.buffer.getvalue()
