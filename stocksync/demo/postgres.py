"""A throw-away Postgres of our own: started in a folder, ends with us, leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from stocksync.demo.binaries import Kind, find_binaries
from stocksync.demo.lodging import make_folder, reachable, server_user
from stocksync.demo.processes import launch
from stocksync.model import StocksyncError

StopMode = Literal["fast", "immediate"]
SUPERUSER = "postgres"

_INITDB_SECONDS = 120.0
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_GLANCE_SECONDS = 0.01


class PostgresBroken(StocksyncError):
    """Postgres's own programs failed; carries the last of what they said."""


class PostgresServer:
    """A server in a temporary folder, for as long as the `with` block or open() to close().

    It listens on a socket in that folder, with `tcp` on a free port of 127.0.0.1 too, trusts who
    gets there, speaks UTF-8, locale C and UTC on every machine, and ends with the thread that
    started it, even when that is killed. `durable=False` gives up crash safety for speed.
    """

    def __init__(
        self,
        *,
        kind: Kind = "auto",
        durable: bool = True,
        tcp: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._kind = kind
        self._settings = _BASE_SETTINGS | ({} if durable else _FORGETFUL) | dict(settings or {})
        self._has_tcp = tcp
        self._folder: Path | None = None
        self._bindir = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 5432
        """Names the socket too; a free one of this machine with `tcp`."""
        self.version = (0, 0)
        """Major and minor, known once open."""

    def __enter__(self) -> Self:
        """Open."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, whatever happened."""
        self.close()

    def open(self) -> None:
        """Make the folder and the cluster, and start; raises NoPostgres or PostgresBroken."""
        found = find_binaries(self._kind)
        self.version = found.version
        try:
            self._folder = make_folder()
            self._bindir = reachable(found.bindir, self._folder)
            if self._has_tcp:
                self.port = _free_port()
            self._create_cluster()
            self.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop and remove every file; a second time is a no-op."""
        try:
            # Nobody will read these files again: no need to leave them in order.
            self.stop("immediate")
        finally:
            folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """Start and wait until it takes connections; on the same cluster and port each time."""
        listen = "127.0.0.1" if self._has_tcp else ""
        settings = self._settings | {
            "port": str(self.port),
            "listen_addresses": listen,
            "unix_socket_directories": str(self.folder),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = self._launch("postgres", "-D", str(self._cluster), *options)
        self._wait_until_ready(self._process)

    def stop(self, mode: StopMode = "fast") -> None:
        """`fast` ends sessions and writes all out; `immediate` is a crash: recovery comes next."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(_STOP_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again, at the same address."""
        self.stop(mode)
        self.start()

    def dsn(self, *, database: str = "postgres", user: str = SUPERUSER, tcp: bool = False) -> str:
        """Give the URL of a database, by the socket or by TCP (for proxies and poolers)."""
        names = f"{quote(user, safe='')}@", quote(database, safe="")
        if tcp:
            if not self._has_tcp:
                raise ValueError("started without tcp=True")
            return f"postgresql://{names[0]}127.0.0.1:{self.port}/{names[1]}"
        # The port is said even where it is the usual one: PGPORT would speak for it otherwise.
        return f"postgresql://{names[0]}/{names[1]}?host={quote(str(self.folder))}&port={self.port}"

    @property
    def folder(self) -> Path:
        """Where the socket, the cluster and the log are."""
        if self._folder is None:
            raise ValueError("the server is not open")
        return self._folder

    @property
    def pid(self) -> int | None:
        """The postmaster, or None while stopped."""
        return None if self._process is None else self._process.pid

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def _log(self) -> Path:
        return self.folder / "postgres.log"

    def _create_cluster(self) -> None:
        looks = ["--locale=C", "--encoding=UTF8", "--auth=trust", f"--username={SUPERUSER}"]
        process = self._launch("initdb", "-D", str(self._cluster), "--no-sync", *looks)
        try:
            status = process.wait(_INITDB_SECONDS)
        except BaseException as error:
            process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise self._broken(f"initdb took over {_INITDB_SECONDS:.0f} s") from error
            raise
        if status != 0:
            raise self._broken("initdb failed")

    def _launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return launch(
            str(self._bindir / program),
            *arguments,
            log=self._log,
            death_signal=signal.SIGINT,
            stdin=subprocess.DEVNULL,
            environment=_plain_environment(),
            folder=self.folder,
            user=server_user(),
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._says_ready(process.pid):
            if process.poll() is not None:
                raise self._broken("Postgres ended instead of starting")
            if time.monotonic() > deadline:
                raise self._broken(f"Postgres was not ready in {_START_SECONDS:.0f} s")
            time.sleep(_GLANCE_SECONDS)

    def _says_ready(self, pid: int) -> bool:
        """Read what pg_ctl reads: the pid in line 1 of postmaster.pid, the state in line 8."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def _broken(self, what: str) -> PostgresBroken:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        last = " | ".join(line.strip() for line in lines[-6:] if line.strip())
        return PostgresBroken(f"{what} ({self._bindir}): {last or 'it said nothing'}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _plain_environment() -> dict[str, str]:
    """Give our environment without what would make Postgres behave otherwise elsewhere."""
    foreign = ("PG", "LC_", "LANG", "TZ")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


_BASE_SETTINGS = {"timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C"}
_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
