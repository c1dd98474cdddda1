"""A throw-away Postgres of our own: started in a folder, ends with us, leaves nothing behind."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from stocksync.demo.binaries import WHEEL, Kind, NoPostgres, find_binaries
from stocksync.model import StocksyncError

StopMode = Literal["fast", "immediate"]
SUPERUSER = "postgres"

_INITDB_SECONDS = 120.0
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_GLANCE_SECONDS = 0.01
_LONGEST_SOCKET_PATH = 107  # sun_path of Linux, less its closing zero

# Runs between us and Postgres, as a program of its own because code in a forked child of a process
# with threads may hang. As root it becomes the given user: Postgres refuses root. Changing the user
# clears the parent-death signal, so that comes second; a parent that died before it is seen third.
_LAUNCHER = """
import ctypes, os, signal, sys
parent, uid, gid, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGINT), 0, 0, 0)
if os.getppid() != int(parent):
    sys.exit("the parent is gone")
os.execv(command[0], command)
"""


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
            self._folder = _make_folder()
            self._bindir = _reachable(found.bindir, self._folder)
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
        uid, gid = _server_user()
        launcher = [sys.executable, "-IS", "-c", _LAUNCHER, str(os.getpid()), str(uid), str(gid)]
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own launcher, no shell
                [*launcher, str(self._bindir / program), *arguments],
                cwd=self.folder,
                env=_plain_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us: we stop the server when its users are done.
                start_new_session=True,
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


def _server_user() -> tuple[int, int]:
    """Give the user and group that Postgres runs as: ours, or nobody's when we are root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NoPostgres(
            "Postgres does not run as root and there is no user `nobody`: run as another user"
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def _make_folder() -> Path:
    """Make a folder of the server's user, with a path short enough for a socket in it."""
    uid, gid = _server_user()
    socket_name = len("/stocksync-pg-12345678/.s.PGSQL.65535")
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp is safe there
        is_short = len(os.fsencode(base)) + socket_name <= _LONGEST_SOCKET_PATH
        if is_short and _others_may_enter(Path(base)):
            folder = Path(tempfile.mkdtemp(prefix="stocksync-pg-", dir=base))
            os.chown(folder, uid, gid)
            return folder
    raise NoPostgres("no temporary folder with a short path that the server may enter")


def _reachable(bindir: Path, folder: Path) -> Path:
    """Copy the wheel's binaries into the folder where the server's user cannot reach them."""
    programs = (bindir / "initdb", bindir / "postgres")
    if _others_may_enter(bindir) and all(path.stat().st_mode & 0o001 for path in programs):
        return bindir
    install = bindir.parent
    package = install.parent
    if package.name != WHEEL:
        raise NoPostgres(f"user `nobody`, as whom root runs Postgres, may not enter {bindir}")
    # Their paths relative to each other are how the programs find their libraries.
    libraries = package.with_name(f"{WHEEL}.libs")
    shutil.copytree(install, folder / package.name / install.name, symlinks=True)
    shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    uid, gid = _server_user()
    for path in folder.rglob("*"):
        os.chown(path, uid, gid, follow_symlinks=False)
    return folder / package.name / install.name / "bin"


def _others_may_enter(path: Path) -> bool:
    """Tell whether the server's user may go there; only root starts it as another than itself."""
    if os.geteuid() != 0:
        return True
    path = path.resolve()
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


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
