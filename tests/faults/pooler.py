"""pgbouncer in transaction mode, in front of a Postgres on the loopback, for as long as a block."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE_SECONDS = 20.0


def find_pgbouncer() -> str | None:
    """The program, also where only root's PATH has it."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_pgbouncer(program: str, *, postgres_port: int) -> Iterator[int]:
    """Give the port of a pooler; every transaction may get another server connection."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
        free.close()
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host={HOST} port={postgres_port} user=postgres\n"
            "[pgbouncer]\n"
            f"listen_addr = {HOST}\n"
            f"listen_port = {port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 4\n"
            "server_round_robin = 1\n"
            "server_login_retry = 1\n"
        )
        settings.chmod(0o644)
        Path(folder).chmod(0o755)
        # It refuses to run as root.
        is_root = os.geteuid() == 0
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "-q", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user="nobody" if is_root else None,
                group="nogroup" if is_root else None,
            )
        try:
            _wait_until_up(process, port, Path(folder) / "log")
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError(f"pgbouncer did not come up: {log.read_text()}")
