"""The README is true of the code, as far as a machine can tell."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from stocksync import schema, settings
from stocksync.database import Database
from stocksync.demo.binaries import NoPostgres, find_binaries
from stocksync.demo.microservice import StandIn
from stocksync.grants import grants
from tests.outbox import Outbox
from tests.relaying import running_relay, until_async
from tests.server import DatabaseServer
from tests.service import TOKEN_ID, running_stand_in

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CODE = "\n".join(file.read_text("utf-8") for file in (ROOT / "stocksync").rglob("*.py"))
PATIENCE_SECONDS = 60.0


def block_after(marker: str) -> str:
    """The code block that follows `<!-- marker -->`."""
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| (.*?) \| (.*) \|$", README, re.MULTILINE)
    assert rows == [
        (each.name.removeprefix(settings.PREFIX), each.default, each.description)
        for each in settings.describe()
    ]


def test_the_table_of_log_events_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (\w+) \|", README, re.MULTILINE)
    assert len(rows) == len(set(rows))
    # Without the examples of docstrings.
    told = re.findall(r"(?<!`)\blog\.(\w+)\(\s*\"([a-z_]+\.[a-z_]+)\"", CODE)
    with_level = {(event, "error" if level == "exception" else level) for level, event in told}
    assert with_level <= set(rows)
    # Also those whose name is handed on, and the one that does without a logger.
    rooms = "|".join({event.partition(".")[0] for _, event in told} | {"telemetry"})
    named = set(re.findall(rf"\"((?:{rooms})\.(?!log\")[a-z_]+)\"", CODE))
    assert {event for event, _ in rows} == named


def test_sections_that_the_code_names_exist() -> None:
    named = set(re.findall(r"README[:,]\s+\"([^\"]+?),?\"", CODE))
    headings = {line.lstrip("# ") for line in README.splitlines() if line.startswith("#")}
    assert named <= headings
    assert named


def test_its_links_within_itself_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", README))
    assert links
    assert links <= anchors


async def test_the_rights_it_names_are_enough(dsn: str, outbox: Outbox) -> None:
    command = block_after("rights")
    [daemon] = re.findall(r"--daemon (\w+)", command)
    [producer] = re.findall(r"--producer (\w+)", command)
    names = {role: f"{role}_{secrets.token_hex(4)}" for role in (daemon, producer)}
    for name in names.values():
        await outbox.connection.execute(f"CREATE ROLE {name}")
    try:
        rights = grants({"daemon": names[daemon], "producer": names[producer]}, schema="public")
        await outbox.connection.execute(rights)
        as_daemon = f"{dsn}{'&' if '?' in dsn else '?'}options={quote('-c role=')}"
        as_daemon += names[daemon]
        async with running_stand_in() as stand_in:
            await _goes_all_the_way(as_daemon, outbox, stand_in, producer=names[producer])
    finally:
        for name in names.values():
            await outbox.connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def _goes_all_the_way(
    as_daemon: str, outbox: Outbox, stand_in: StandIn, *, producer: str
) -> None:
    async with Database(url=as_daemon) as database:
        await schema.verify(database)
    async with running_relay(as_daemon, stand_in):
        await stand_in.stop_listening()
        await outbox.connection.execute(f"SET ROLE {producer}")
        row_id = await outbox.connection.fetchval(
            "INSERT INTO pending_stock_operations (token_id, order_id, sku, quantity)"
            " VALUES ($1, 'order', 'sku', 1) ON CONFLICT (id) DO NOTHING RETURNING id",
            TOKEN_ID,
        )
        await outbox.connection.execute("RESET ROLE")

        async def was_tried() -> bool:
            return bool((await outbox.row(row_id))["attempts"])

        async def is_completed() -> bool:
            return bool((await outbox.row(row_id))["status"] == "completed")

        # Through an outage and back: the circuits' rights count, too.
        await until_async(was_tried)
        await stand_in.listen()
        await until_async(is_completed)


@pytest.fixture
def programs(server: DatabaseServer) -> dict[str, str]:
    """The environment of somebody who has Postgres's programs, and this server as the usual one."""
    parts = urlsplit(server.dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    try:
        bindir = find_binaries().bindir
    except NoPostgres as error:
        pytest.skip(str(error))
    if shutil.which("psql", path=bindir) is None or parts.password:
        pytest.skip("no psql here, or a server that asks for a password")
    return {
        "PATH": f"{bindir}:{os.environ['PATH']}",
        "PGHOST": query.get("host") or parts.hostname or "",
        "PGPORT": query.get("port") or str(parts.port or 5432),
        "PGUSER": parts.username or "",
        # Somebody else on this machine may have the usual port.
        "STOCK_SYNC_HTTP_PORT": "0",
    }


def test_what_it_says_to_try_by_hand_works_as_pasted(
    programs: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    clean_up = re.search(r"`(kill %1 %2; .*?)`", README)
    assert clean_up
    script = f"{block_after('try it')}{clean_up[1]}\n"
    status = "psql stocksync_try -qtAc 'SELECT status FROM pending_stock_operations'"
    for written, here in {
        # A busy machine may take longer than two seconds.
        "sleep 2\n": f'until [ "$({status})" = completed ]; do sleep 0.1; done\n',
        "stocksync_try": f"try_{secrets.token_hex(4)}",
        ".venv/bin/python": sys.executable,
        ".venv/bin/stocksync": f"{sys.executable} -m stocksync",
        "8099": port,
    }.items():
        assert written in script
        script = script.replace(written, here)
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("STOCK_SYNC_", "PG"))}
    output = tmp_path / "output"
    with (
        output.open("w") as stream,
        subprocess.Popen(
            ["bash", "-euc", script],
            cwd=tmp_path,
            env=environment | programs | {"PYTHONPATH": str(ROOT)},
            # Not a pipe: whatever is left running would hold it open.
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(PATIENCE_SECONDS)
        finally:
            # What it started, whether or not it came to its end.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    said = output.read_text()
    assert shell.returncode == 0, said
    assert re.search(r"flag at service +true\n", said), said
    assert re.search(r"^OK$", said, re.MULTILINE), said


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    tests = "\n".join(file.read_text("utf-8") for file in Path(__file__).parent.rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", README))
    assert len(named) > 10
    assert {name for name in named if f"def {name}(" not in tests} == set()
