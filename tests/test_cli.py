"""The command line: exit codes, one JSON document, and a story that a person can read."""

import asyncio
import io
import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

import stocksync
from stocksync.circuit import Kind, Seen
from stocksync.circuits import Circuits
from stocksync.cli import codes, main, verbs, words
from stocksync.cli.arguments import command_line
from stocksync.cli.layout import distance, one_line, pairs, span
from stocksync.cli.tables import table
from stocksync.database import Database
from stocksync.model import Cause, Retry, Status
from stocksync.store import Counts, Store
from tests.importing import imported
from tests.outbox import ACCOUNT, OTHER_ACCOUNT, Outbox
from tests.server import dsn_of
from tests.service import SECRET, TOKEN_ID, USER_ID, running_stand_in
from tests.settling import DONE, REFUSED, RETRY, TIMEOUT, claim, settle


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("STOCK_SYNC_", "ALLEGRO_", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
    # Whoever runs this may look at it on any terminal, or on none.
    monkeypatch.setenv("COLUMNS", "200")
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
        # What the test itself has logged is not the command's.
        self._capsys.readouterr()
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
    # COLUMNS: the workers of pytest-xdist have one.
    others = ("STOCK_SYNC_", "ALLEGRO_", "COLUMNS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    kept["STOCK_SYNC_HTTP_PORT"] = "0"  # somebody else may have the usual one
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
        "from stocksync.cli.arguments import command_line; import stocksync.cli;"
        "command_line().format_help()"
    )
    assert imported(program, "asyncpg", "httpx", "pydantic", "structlog", "asyncio") == set()


@pytest.mark.parametrize("verb", ["status", "list", "show", "retry", "cancel", "pause"])
def test_a_look_at_the_outbox_waits_for_nothing_that_it_does_not_need(dsn: str, verb: str) -> None:
    words = [verb] if verb in {"status", "list", "pause"} else [verb, str(uuid4())]
    program = f"from stocksync.cli import main; main({words!r})"
    others = ("httpx", "httptools", "jwt", "tenacity", "aiohttp", "aiogram", "matplotlib",
              "prometheus_client", "rich", "stocksync.relay", "stocksync.web")  # fmt: skip
    environment = plain_environment(DATABASE_URL=dsn)
    assert imported(program, *others, environment=environment) == set()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["show", "not-an-id"], "'not-an-id' is not an operation's id (a UUID)"),
        (["retry", str(uuid4()), "7"], "'7' is not an operation's id (a UUID)"),
        (["cancel"], "give operations' IDs, or --failed"),
        (["retry", str(uuid4()), "--failed"], "give operations' IDs, or --failed"),
        (["retry", str(uuid4()), "--error", "422"], "--token and --error go with --failed"),
        (["cancel", "--failed", "--error", ""], "argument --error: it is empty"),
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


def test_a_command_without_what_it_needs_shows_its_usage(cli: Cli) -> None:
    assert cli.call("show") == 2
    assert cli.err.startswith("usage: stocksync show ")


def test_the_demo_refuses_settings_that_it_would_ignore(cli: Cli) -> None:
    assert cli.call("--env-file", "/nonexistent", "demo") == 2
    assert "the demo takes no settings" in cli.err
    assert cli.call("demo", "--env-file", "/nonexistent") == 2


def verb_parsers() -> dict[str, ArgumentParser]:
    return command_line()._verbs


@pytest.mark.parametrize("verb", verb_parsers())
def test_the_help_of_every_command_has_examples_and_exit_codes(cli: Cli, verb: str) -> None:
    assert cli.call(verb, "--help") == 0
    _, examples = cli.out.split("\nexamples:\n")
    assert f"  stocksync {verb}" in examples
    assert "exit codes: 0 done, " in examples


@pytest.mark.parametrize("verb", verb_parsers())
def test_every_example_is_understood(verb: str) -> None:
    commands = [
        re.split(r"[|>#]|&&", example)[0] for example in words.VERBS[verb].examples.splitlines()
    ]
    understood = [
        command_line().parse_args(shlex.split(command)[1:]).verb
        for command in commands
        if command.split()[0] == "stocksync"
    ]
    assert verb in understood


def test_every_command_has_help_and_a_room_of_its_own() -> None:
    assert verb_parsers().keys() == words.VERBS.keys()
    assert all(callable(verbs.verb(name)) for name in verb_parsers())


def test_the_readme_has_a_line_for_every_command() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    table = readme.partition("| command | answers |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`stocksync ([a-z-]+)", table)) == verb_parsers().keys()


@pytest.mark.parametrize("verb", ["", *verb_parsers()])
def test_help_fits_into_forty_columns_but_for_what_is_to_be_pasted(
    cli: Cli, nothing_set: pytest.MonkeyPatch, verb: str
) -> None:
    nothing_set.setenv("COLUMNS", "40")
    assert cli.call(*verb.split(), "--help") == 0
    before, examples = cli.out.split("\nexamples:\n")
    # How argparse wraps its own usage is its affair.
    before = before.partition("\n\n")[2]
    said = [*before.splitlines(), *examples.partition("\n\n")[2].splitlines()]
    # A name in one piece may be longer than the terminal is wide.
    assert [line for line in said if len(line) > 40 and " " in line.strip()] == []


@pytest.mark.parametrize("verb", ["", *verb_parsers()])
def test_help_fits_into_eighty_columns(
    cli: Cli, nothing_set: pytest.MonkeyPatch, verb: str
) -> None:
    nothing_set.setenv("COLUMNS", "80")
    assert cli.call(*verb.split(), "--help") == 0
    assert [line for line in cli.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("verb", verb_parsers())
def test_every_option_has_a_word_of_help_and_says_its_default(verb: str) -> None:
    for action in verb_parsers()[verb]._actions:
        assert action.help, action.dest
        if action.nargs != 0 and action.default not in (None, False, "==SUPPRESS=="):
            assert "%(default)s" in action.help


def test_the_help_knows_every_exit_code(cli: Cli) -> None:
    assert cli.call("--help") == 0
    said = {int(code) for code in re.findall(r"(\d+) [a-z]", cli.out.split("exit codes: ")[1])}
    assert said == {0, 1, 2, 130, *codes._CODES.values()}


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
    for command in (["status"], ["migrate"], ["cancel", uuid4()]):
        assert await cli(*command) == 69
        said = f"stocksync: the database 127.0.0.1:{port}/db cannot be reached: "
        assert cli.err.startswith(said)
        assert len(cli.err.splitlines()) == 1
        assert "geheim" not in cli.err


async def test_a_database_that_refuses_is_configuration(
    cli: Cli, use: Callable[..., None], dsn: str
) -> None:
    use(DATABASE_URL=re.sub(r"/stocksync_test_\w+", "/nowhere", dsn))
    assert await cli("status") == 78
    assert re.match("stocksync: the database .*/nowhere refuses: ", cli.err)


@pytest.mark.usefixtures("there")
async def test_an_unknown_operation_is_3(cli: Cli) -> None:
    stranger = uuid4()
    for command in (["show", stranger], ["retry", stranger], ["cancel", stranger]):
        assert await cli(*command) == 3
        assert cli.err == f"stocksync: there is no operation {stranger}\n"
    assert await cli("show", "--order", "nowhere") == 3


@pytest.mark.usefixtures("there")
async def test_what_its_status_does_not_allow_is_4(cli: Cli, outbox: Outbox, store: Store) -> None:
    row_id = await outbox.insert()
    await claim(store)
    assert await cli("cancel", row_id) == 4
    assert f"{row_id} is processing" in cli.err
    assert cli.out == ""


def redirected(how: str, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command, its streams as a shell redirects them."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {how}', "sh", sys.executable, "-m", "stocksync", *words],
        env=plain_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def with_a_reader_gone(
    *words: str, is_stderr_too: bool = False, **settings: str
) -> "subprocess.CompletedProcess[str]":
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        return subprocess.run(
            [sys.executable, "-m", "stocksync", *words],
            env=plain_environment(**settings),
            stdout=write_end,
            stderr=write_end if is_stderr_too else subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)


def test_a_reader_that_has_seen_enough_is_no_error(dsn: str) -> None:
    ended = with_a_reader_gone("status", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["grants", "--reader", "r"]])
def test_a_reader_that_is_gone_before_the_first_word_is_no_error(words: list[str]) -> None:
    ended = with_a_reader_gone(*words)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("is_stderr_too", [False, True])
@pytest.mark.parametrize(
    ("words", "code"),
    [(["check"], 69), (["list"], 69), (["retry", "--failed", "--yes"], 69), (["lst"], 2)],
)
def test_a_reader_that_is_gone_makes_no_success_of_a_failure(
    words: list[str], code: int, is_stderr_too: bool
) -> None:
    ended = with_a_reader_gone(
        *words,
        is_stderr_too=is_stderr_too,
        DATABASE_URL="postgresql://u@127.0.0.1:1/db",
        MICROSERVICE_URL="http://127.0.0.1:1",
        MICROSERVICE_JWT="a.b.c",
    )
    assert ended.returncode == code
    assert "Traceback" not in (ended.stderr or "")


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["list"], ["status", "--json"], ["dashboards"]]
)
def test_stdout_may_be_closed(dsn: str, words: list[str]) -> None:
    ended = redirected(">&-", *words, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("how", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"])
def test_a_failure_is_one_whatever_has_become_of_the_streams(how: str) -> None:
    ended = redirected(how, "list", DATABASE_URL="postgresql://u@127.0.0.1:1/db")
    assert ended.returncode == 69
    assert len(ended.stderr.splitlines()) == (0 if "2>" in how else 1)


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["list"], ["status", "--json"], ["dashboards"]]
)
def test_what_cannot_be_written_is_said_in_a_line_and_is_1(dsn: str, words: list[str]) -> None:
    ended = redirected(">/dev/full", *words, DATABASE_URL=dsn)
    said = "stocksync: stdout cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize("words", [[], ["--json"]])
async def test_of_a_large_list_the_first_line_may_be_enough(
    dsn: str, outbox: Outbox, words: list[str]
) -> None:
    await outbox.insert_units(3000)

    def head() -> tuple[str, str, int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stocksync", "list", "--limit", "3000", *words],
            env=plain_environment(DATABASE_URL=dsn),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stderr
        first = process.stdout.readline()
        process.stdout.close()
        with process.stderr:
            return first, process.stderr.read(), process.wait(60)

    first, err, code = await asyncio.to_thread(head)
    assert first.startswith("{" if words else "ID ")
    assert (err, code) == ("", 0)


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


async def test_a_dry_run_says_what_keys_it_would_add(
    cli: Cli, use: Callable[..., None], dsn: str, outbox: Outbox
) -> None:
    await outbox.connection.execute("CREATE TABLE allegro_tokens (id_ varchar PRIMARY KEY)")
    use(DATABASE_URL=dsn)
    assert await cli("migrate", "--dry-run", "--with-foreign-keys") == 0
    key = "token_id_is_a_known_account"
    assert f"{key}: would add: token_id refers to allegro_tokens (id_)" in cli.out
    assert "no table allegro_orders" in cli.out
    assert await cli("migrate", "--with-foreign-keys", "--json") == 0
    assert cli.document["foreign_keys"][0]["result"].startswith("added: token_id refers to ")
    assert await cli("migrate", "--dry-run", "--with-foreign-keys") == 0
    assert f"{key}: was there already" in cli.out


async def test_a_dry_run_of_keys_on_an_empty_database_changes_nothing(
    cli: Cli, use: Callable[..., None], empty_dsn: str
) -> None:
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute("CREATE TABLE allegro_tokens (id_ varchar PRIMARY KEY)")
    await connection.close()
    use(DATABASE_URL=empty_dsn)
    assert await cli("migrate", "--dry-run", "--with-foreign-keys") == 0
    assert "would apply 0001_tables" in cli.out
    assert "would add: token_id refers to" in cli.out
    assert await cli("list") == 78


async def test_a_database_with_another_encoding_is_refused_with_what_to_run(
    cli: Cli, use: Callable[..., None], empty_dsn: str
) -> None:
    name = f"stocksync_test_ascii_{uuid4().hex}"
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        use(DATABASE_URL=dsn_of(empty_dsn, database=name))
        assert await cli("migrate") == 78
        assert "SQL_ASCII" in cli.err
        assert "`createdb -T template0 -E UTF8 NAME`" in cli.err
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


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
async def test_a_list_has_both_the_time_and_the_error(
    cli: Cli, outbox: Outbox, store: Store, use: Callable[..., None]
) -> None:
    await outbox.insert("4711")
    await settle(store, await claim(store), RETRY)
    assert await cli("list") == 0
    head, row, error, _ = cli.out.splitlines()
    assert head.split() == ["ID", "STATUS", "ORDER", "WHAT", "RETRIES", "CREATED", "WHEN"]
    assert re.search(r"  1 of 5 .* in \d+ s$", row)
    assert error.strip() == RETRY.reason
    use(RETRY_MAX_ATTEMPTS="-1")
    assert await cli("list") == 0
    assert " of 5" not in cli.out


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 110, 132])
async def test_no_row_of_a_table_is_wider_than_the_terminal(
    cli: Cli, outbox: Outbox, store: Store, nothing_set: pytest.MonkeyPatch, columns: int
) -> None:
    nothing_set.setenv("COLUMNS", str(columns))
    await outbox.insert("o" * 500, sku="s" * 100, operation_type="adjustment", quantity=-12345)
    await outbox.insert("4711")
    await settle(store, await claim(store), Retry(reason="x" * 300, cause=Cause.OPERATION))
    row_id = await outbox.insert("4711", sku="s" * 100)
    assert await cli("list") == 0
    assert re.search(rf"^{row_id}\s+pending ", cli.out, re.MULTILINE)
    # A minute, less what a busy machine took to get here.
    assert re.search(r" in \d", cli.out)
    assert max(map(len, cli.out.splitlines())) <= columns
    assert await cli("show", "--order", "4711") == 0
    assert str(row_id) in cli.out
    assert max(map(len, cli.out.split("\n\n")[1].splitlines())) <= columns


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
        assert "no daemon" in cli.out
        assert "systemctl start stocksync" in cli.out


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
async def test_an_order_says_what_its_last_attempt_brought(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("4711")
    assert await cli("show", "--order", "4711") == 0
    assert re.search(r"last attempt +none$", cli.out, re.MULTILINE)
    await settle(store, await claim(store), TIMEOUT)
    assert await cli("show", "--order", "4711") == 0
    last = rf"last attempt +(now|\d+ s ago) by a test: {TIMEOUT.reason} \(after 7 ms\)$"
    assert re.search(last, cli.out, re.MULTILINE)
    assert re.search(r"waits for +its next retry, due at .* \(in \d+ s\)$", cli.out, re.MULTILINE)
    assert re.search(r"ambiguous +since .* may still apply", cli.out)
    assert await cli("show", "--order", "4711", "--json") == 0
    [order] = cli.document["orders"]
    assert order["waits_for"] == "retry"
    attempt = order["last_attempt"]
    assert attempt.pop("at").endswith("Z")
    assert attempt == {
        "by": "a test",
        "action": "retry",
        "is_proven": False,
        "http_status": None,
        "error": TIMEOUT.reason,
        "cause": "environment",
        "duration_ms": 7,
    }


def test_an_order_says_that_it_waits_for_a_silent_service(dsn: str) -> None:
    controller, terminal = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(insert(dsn, "4711"))
        port = silent.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "stocksync", "show", "--order", "4711", "--json"],
            env=plain_environment(
                DATABASE_URL=dsn,
                MICROSERVICE_URL=f"http://127.0.0.1:{port}",
                MICROSERVICE_JWT="a.b.c",
                MICROSERVICE_TIMEOUT_SECONDS="2",
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
            timeout=60,
            check=True,
        )
    said = os.read(controller, 1000).decode()
    os.close(controller)
    os.close(terminal)
    assert f"asking http://127.0.0.1:{port}, for 2 s at most" in said
    [order] = json.loads(ended.stdout)["orders"]
    assert order["service_flag_unknown"].startswith("no answer")


async def insert(dsn: str, order_id: str) -> None:
    connection = await asyncpg.connect(dsn)
    await Outbox(connection).insert(order_id)
    await connection.close()


@pytest.mark.usefixtures("there")
async def test_the_status_is_a_verdict_with_its_reasons(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    assert await cli("status") == 0
    assert cli.out.startswith("OK\n  no daemon is running\n\n")
    await outbox.insert()
    await settle(store, await claim(store), DONE)
    await outbox.insert()
    assert await cli("status") == 0
    assert cli.out.startswith("STALLED\n  rows due: 1, ")
    assert "  to do: start a daemon: systemctl start stocksync, or what you use\n" in cli.out
    # Nobody is there whose rate it could be.
    assert "at the present rate" not in cli.out
    assert await cli("status", "--json") == 0
    document = cli.document
    assert document.keys() == {
        "verdict",
        "reasons",
        "numbers",
        "circuits",
        "daemons",
        "timers",
        "telegram",
        "oldest_snapshot",
        "is_snapshot_hidden",
        "limits",
    }
    assert (document["verdict"], len(document["reasons"])) == ("STALLED", 1)
    numbers = document["numbers"]
    assert {status: numbers[status] for status in Status} == {
        "pending": 1, "processing": 0, "completed": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert numbers["oldest_due_seconds"] > 0
    assert (document["timers"], document["limits"]["max_pending"]) == ([], 1000)


@pytest.mark.usefixtures("there")
async def test_the_status_tells_of_failed_and_retried_operations_under_ok(
    cli: Cli, outbox: Outbox, store: Store, database: Database
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    for order_id, outcome in (("a", RETRY), ("b", RETRY), ("c", REFUSED)):
        await outbox.insert(order_id)
        await settle(store, await claim(store), outcome)
    assert await cli("status") == 0
    verdict, failed, retried, *_ = cli.out.splitlines()
    assert verdict == "OK"
    assert failed == (
        "  1 operation failed and needs a person: stocksync list --status failed; "
        f"because: {REFUSED.reason}"
    )
    assert re.fullmatch(
        rf"  2 operations are retried, the first of them due in \d+ s; most often: {RETRY.reason}",
        retried,
    )
    assert re.search(r"due +nothing; the next row in \d+ s\n", cli.out)
    assert re.search(r"completed +0 in the last 5 min, 0 today \(UTC\)\n", cli.out)
    assert await cli("status", "--json") == 0
    numbers = cli.document["numbers"]
    assert (numbers["retrying"], numbers["retry_error"]) == (2, RETRY.reason)
    assert numbers["failed_error"] == REFUSED.reason
    assert numbers["next_retry_at"].endswith("Z")


@pytest.mark.usefixtures("there")
async def test_the_status_holds_what_was_done_against_the_goals(cli: Cli, store: Store) -> None:
    done = Counts(
        attempts=25, unproven=2, rows_completed=50, rows_first_try=49, retried_seconds=130
    )
    await store.add_to_minute(done, completed_seconds_ago=(1, 1))
    assert await cli("status") == 0
    for line in (
        r"completed +50 in the last 5 min, \d+ today \(UTC\)\n",
        r"first try +98\.0 % of what was completed in 24 h; the goal is 99 %\n",
        r"retried +2 min from insert to completion, .*; the goal is less than 5 min\n",
        r"pushes +25 in the last 30 min, 2 of them not proven \(8 %\)\n",
    ):
        assert re.search(line, cli.out), line
    assert await cli("status", "--json") == 0
    numbers = cli.document["numbers"]
    assert (numbers["first_try_share"], numbers["mean_retry_seconds"]) == (0.98, 130)
    assert numbers["failure_rate"] == 0.08


@pytest.mark.usefixtures("there")
async def test_the_status_shows_each_timer_and_what_telegram_lacks(
    cli: Cli, outbox: Outbox
) -> None:
    await outbox.connection.execute(
        "INSERT INTO stock_sync_timers (name, interval_seconds, due_at, runner, ended_at, result,"
        "                               error)"
        " VALUES ('cleanup', 9999, now() - interval '5 h', 'host:7', now() - interval '3 h',"
        "         NULL, 'no answer'),"
        " ('monitor', 60, now() + interval '30 s', NULL, NULL, NULL, NULL),"
        " ('reconcile', 1800, now() + interval '20 min', 'host:7', now() - interval '10 min',"
        '  \'{"checked": 40, "not_reached": 2, "left": 0, "took_seconds": 0.5}\', NULL);'
        "UPDATE stock_sync_telegram SET refused = '401', muted_until = now() + interval '1 hour',"
        " muted_by = 'anna@desk';"
        "INSERT INTO stock_sync_changes (at, kind, phase)"
        " VALUES (now() - interval '10 minutes', 'outage', 'began')"
    )
    assert await cli("status") == 0
    assert cli.out.startswith("DEGRADED\n  the timer cleanup is overdue by 18000 s\n  Telegram ")
    for line in (
        r"timer +cleanup: FAILED 3 h ago, by host:7: no answer; it went well never; OVERDUE, ",
        r"timer +monitor: no turn yet; next in \d+ s\n",
        r"timer +reconcile: done 10 min ago: 40 checked, 2 not reached; next in 20 min\n",
        r"Telegram +REFUSED: 401; muted until .* by anna@desk; 1 change of state not told yet, ",
    ):
        assert re.search(line, cli.out), line
    assert await cli("status", "--json") == 0
    assert cli.document["timers"][2]["result"]["checked"] == 40
    assert cli.document["telegram"]["unsent"] == 1


@pytest.mark.usefixtures("there")
async def test_the_status_tells_of_an_outage_and_what_waits_for_it(
    cli: Cli, outbox: Outbox, database: Database
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await outbox.insert_units(3, "4711")
    lost = [Seen(account=ACCOUNT, order=str(n), kind=Kind.FAILED, reason="503") for n in range(5)]
    await Circuits(database=database).feed(lost)
    assert await cli("status") == 0
    assert cli.out.startswith("DEGRADED\n  the service's circuit is open")
    assert "503; 3 rows wait for the service\n" in cli.out
    line = r"circuit +the service's, open for \d+ s; 0 probes, the next .*; 3 rows wait for it\n"
    assert re.search(line, cli.out)
    assert re.search(
        r"due +nothing that may be claimed; 3 rows held up; how long they take shows", cli.out
    )
    assert await cli("status", "--json") == 0
    [circuit] = cli.document["circuits"]
    assert circuit.pop("opened_at").endswith("Z")
    assert circuit.pop("probe_at").endswith("Z")
    assert circuit == {
        "token_id": None,
        "is_open": True,
        "reason": "503",
        "probes": 0,
        "is_probing": False,
        "is_paused": False,
        "paused_until": None,
        "paused_by": None,
        "waiting_rows": 3,
    }
    assert await cli("show", "--order", "4711") == 0
    assert re.search(r"waits for +the service to work again; the next probe is due ", cli.out)
    assert re.search(r"circuit +the service's, open for \d+ s: 503; ", cli.out)
    assert await cli("list", "--limit", 1) == 0
    assert cli.out.splitlines()[-1].startswith("  circuit  the service's, open for ")


@pytest.mark.usefixtures("there")
async def test_an_order_tells_what_reconciling_found_and_when_it_is_verified(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("4711")
    await settle(store, await claim(store), TIMEOUT)
    assert await cli("show", "--order", "4711") == 0
    assert "older call after a newer one; its flag is read again when none of its" in cli.out
    assert "reconciling" not in cli.out
    await outbox.make_due()
    await settle(store, await claim(store))
    assert await cli("show", "--order", "4711") == 0
    assert re.search(r"after a newer one; its flag is read again in \d+ s\n", cli.out)

    await outbox.connection.execute(
        "UPDATE stock_sync_orders SET ambiguous_at = now() - interval '2 minutes'"
    )
    for _ in range(2):
        await outbox.connection.fetch(
            "SELECT * FROM stock_sync_reconcile(ARRAY[$1], ARRAY['4711'],"
            " ARRAY(SELECT state FROM stock_sync_compared($1, '4711', 24)), '{false}', 24, 'me')",
            ACCOUNT,
        )
        assert await cli("show", "--order", "4711") == 0
        assert re.search(r"reconciling +found false now, wanted true: pushed again", cli.out)
        await settle(store, await claim(store))
    assert await cli("show", "--order", "4711") == 0
    assert re.search(r"found false .*: pushed again \(repair 2 in a row\), by me\n", cli.out)
    assert await cli("show", "--order", "4711", "--json") == 0
    [order] = cli.document["orders"]
    assert order["repairs"] == 2
    assert order["reconciled"].pop("at").endswith("Z")
    assert order["reconciled"] == {"by": "me", "act": "repaired", "wanted": True, "found": False}


@pytest.mark.usefixtures("there")
async def test_a_parked_account_is_shown_by_its_token(
    cli: Cli, outbox: Outbox, database: Database
) -> None:
    await outbox.insert("4711", OTHER_ACCOUNT)
    refusal = Seen(account=OTHER_ACCOUNT, order="x", kind=Kind.TOKEN, reason="404 Токен")
    proof = Seen(account=ACCOUNT, order="x", kind=Kind.PROVEN)
    await Circuits(database=database).feed([proof, refusal] * 5)
    assert await cli("status") == 0
    assert f"  the account {OTHER_ACCOUNT} is parked: 404 Токен; 1 row waits for it\n" in cli.out
    assert "  to mend a parked account: see that the microservice has its token" in cli.out
    assert re.search(r"due +nothing that may be claimed; 1 row held up; how long they", cli.out)
    assert re.search(rf"parked +{OTHER_ACCOUNT} for \d+ s; 0 probes, the next ", cli.out)
    assert await cli("show", "--order", "4711") == 0
    assert "the service to know its account; the next probe is due" in cli.out
    assert re.search(r"to mend it +see that the microservice has its token", cli.out)


@pytest.mark.usefixtures("there")
async def test_an_order_of_an_unknown_account_says_so_before_the_account_is_parked(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("4711")
    unknown = Retry(reason="404 Токен", cause=Cause.TOKEN, http_status=404)
    await settle(store, await claim(store), unknown)
    assert await cli("show", "--order", "4711") == 0
    assert re.search(r"waits for +its next retry, due at", cli.out)
    assert re.search(r"to mend it +see that the microservice has its token", cli.out)


@pytest.mark.usefixtures("there")
async def test_a_failed_order_waits_for_a_person_and_says_which_commands(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    row_id = await outbox.insert("4711")
    await settle(store, await claim(store), REFUSED)
    assert await cli("show", "--order", "4711") == 0
    said = " ".join(cli.out.split())
    assert (
        f"waits for a person; 1 failed row: when the cause is mended, stocksync retry {row_id}; "
        f"what shall never be pushed: stocksync cancel {row_id}"
    ) in said
    assert await cli("show", "--order", "4711", "--json") == 0
    assert cli.document["orders"][0]["waits_for"] == "person"


# --- maintenance ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("there")
async def test_a_pause_says_until_when_and_whose_hand_it_was(
    cli: Cli, outbox: Outbox, store: Store, database: Database
) -> None:
    await database.fetch("beat", uuid4(), "host", 7, "1.0", None, 0, None)
    await outbox.insert("4711")
    assert await cli("pause", "--minutes", 30) == 0
    said = re.fullmatch(
        r"everything is paused: nothing is claimed for 30 minutes, until (.*) UTC; "
        r"recorded as by (\S+@\S+)\n",
        cli.out,
    )
    assert said is not None
    until, by = said.groups()
    assert await claim(store) == []
    assert await cli("status") == 0
    assert cli.out.startswith(f"DEGRADED\n  everything is paused until {until} UTC by {by}; 1 row")
    pause = rf"paused +everything, until {until} UTC \(in (29|30) min\), by {by}"
    assert re.search(pause, cli.out)
    for command in (
        ["show", "--order", "4711"],
        ["list"],
        ["show", (await outbox.rows())[0]["id"]],
    ):
        assert await cli(*command) == 0
        assert re.search(pause, cli.out), command
    assert await cli("resume") == 0
    assert cli.out == "everything is resumed\n"
    assert len(await claim(store)) == 1
    assert await cli("resume") == 0
    assert cli.out == "everything was not paused: nothing to do\n"


@pytest.mark.usefixtures("there")
async def test_a_pause_lasts_an_hour_unless_said_otherwise(cli: Cli, outbox: Outbox) -> None:
    before = await outbox.connection.fetchval("SELECT clock_timestamp()")
    assert await cli("pause", "--json") == 0
    after = await outbox.connection.fetchval("SELECT clock_timestamp()")
    document = cli.document
    assert document.keys() == {"token_id", "paused_until", "paused_by"}
    assert document["token_id"] is None
    until = datetime.fromisoformat(document["paused_until"])
    assert before <= until - timedelta(hours=1) <= after


@pytest.mark.usefixtures("there")
async def test_an_account_is_paused_and_resumed_alone(
    cli: Cli, outbox: Outbox, store: Store
) -> None:
    await outbox.insert("waits", ACCOUNT)
    await outbox.insert("goes", OTHER_ACCOUNT)
    assert await cli("pause", "--token", ACCOUNT.upper(), "--json") == 0
    assert cli.document["token_id"] == ACCOUNT
    assert [push.order_id for push in await claim(store)] == ["goes"]
    assert await cli("resume", "--json") == 0
    document = cli.document
    assert (document["token_id"], document["was_paused"]) == (None, False)
    assert [each["token_id"] for each in document["still_paused"]] == [ACCOUNT]
    assert await cli("resume") == 0
    assert f"the account {ACCOUNT} is still paused until " in cli.out
    assert await cli("resume", "--token", ACCOUNT, "--json") == 0
    assert (cli.document["was_paused"], cli.document["still_paused"]) == (True, [])
    assert [push.order_id for push in await claim(store)] == ["waits"]


@pytest.mark.parametrize("minutes", ["0", "-1", "1.5", "525601", "an hour"])
def test_a_pause_of_no_length_is_wrong_usage(cli: Cli, minutes: str) -> None:
    assert cli.call("pause", "--minutes", minutes) == 2
    assert "is not a whole number from 1 to 525600" in cli.err


# --- colour --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
async def test_colours_are_for_terminals_that_want_them(
    dsn: str, outbox: Outbox, store: Store, environment: dict[str, str], is_coloured: bool
) -> None:
    await outbox.insert("order")
    await settle(store, await claim(store), REFUSED)
    await outbox.insert("order")

    def said(*words: str) -> str:
        controller, terminal = pty.openpty()
        kept = {k: v for k, v in plain_environment(DATABASE_URL=dsn).items() if k != "NO_COLOR"}
        subprocess.run(
            [sys.executable, "-m", "stocksync", *words],
            env=kept | environment,
            stdout=terminal,
            timeout=60,
            check=True,
        )
        os.close(terminal)
        text = os.read(controller, 60_000).decode()
        os.close(controller)
        return text

    status, listing = [await asyncio.to_thread(said, word) for word in ("status", "list")]
    assert status.startswith("\x1b[31;1mSTALLED\x1b[0m\r\n" if is_coloured else "STALLED\r\n")
    assert ("\x1b[31;1mfailed\x1b[0m " in listing) is is_coloured
    assert ("\x1b" in listing) is is_coloured
    # Colours take no room.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", listing)
    head, *rows = (line for line in plain.splitlines() if not line.startswith(" "))
    assert {row[head.index("ORDER") :][:5] for row in rows[:2]} == {"order"}


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


def test_what_is_too_wide_is_dropped_or_cut_in_the_order_said(
    nothing_set: pytest.MonkeyPatch,
) -> None:
    rows = [("id" * 12, "x" * 30, "created")]

    def shown() -> list[str]:
        return table(("A", "B", "CREATED"), rows, cut=("B",), drop=("CREATED",)).splitlines()

    nothing_set.setenv("COLUMNS", "50")
    assert shown()[1] == (f"{'id' * 12}  {'x' * 14}…  created")
    nothing_set.setenv("COLUMNS", "30")  # taken for 40: narrower has to wrap
    assert shown() == [
        f"{'A':24}  B",
        f"{'id' * 12}  {'x' * 13}…",
    ]


def test_where_nothing_else_helps_the_first_column_has_lines_of_its_own(
    nothing_set: pytest.MonkeyPatch,
) -> None:
    nothing_set.setenv("COLUMNS", "40")
    rows = [("i" * 36, "pending", "x" * 30, "7"), ("j" * 36, "failed", "4711", "12")]
    assert table(("ID", "STATUS", "B", "N"), rows, remarks=[None, "why"], cut=("B",)) == (
        f"""\
ID
  STATUS   B                           N
{"i" * 36}
  pending  {"x" * 24}…   7
{"j" * 36}
  failed   4711                       12
    why"""
    )


def test_columns_are_aligned_by_what_letters_take() -> None:
    assert table(("A", "B"), [("猫猫", "x"), ("кот", "y")]) == "A     B\n猫猫  x\nкот   y"


def test_a_remark_stands_below_its_row() -> None:
    text = table(("A",), [("x",), ("y",)], remarks=[None, "why\n"])
    assert text == "A\nx\ny\n    why\\n"


def test_a_long_value_goes_on_below_itself(nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("COLUMNS", "40")
    assert pairs([("label", "three words and a token-id-that-stays-whole")]) == (
        "  label  three words and a\n         token-id-that-stays-whole"
    )


def test_what_is_written_elsewhere_is_neither_cut_nor_wrapped(
    nothing_set: pytest.MonkeyPatch,
) -> None:
    # By name, too: pytest asks as well.
    nothing_set.setattr(
        "shutil.get_terminal_size", lambda fallback=(80, 24): os.terminal_size(fallback)
    )
    assert pairs([("label", "word " * 100)]).count("\n") == 0
    assert table(("A", "B"), [("a" * 36, "b" * 36)] * 2, cut="B").endswith("b" * 36)


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
