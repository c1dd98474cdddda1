"""The peers' own environment: thrown away with the run, so that nothing of theirs is among ours."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from tests.bench.contestants import SERIAL_TABLE
from tests.bench.postgres import Postgres
from tests.bench.processes import ROOT

# The newest of each. sniffio spares httpx an import that fails at each request; pgqueuer's own
# command uses uvloop where it is installed.
PACKAGES = (
    "pgqueuer[asyncpg]",
    "procrastinate",
    "psycopg[binary,pool]",
    "httpx",
    "aiohttp",
    "sniffio",
    "uvloop",
)


class Peers:
    """The environment and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.python = str(folder / "bin" / "python")

    def versions(self) -> dict[str, str]:
        """The packages, by name."""
        said = _said(self.python, "-m", "pip", "list", "--format", "json")
        return {each["name"]: each["version"] for each in json.loads(said)}

    def prepare(self, postgres: Postgres) -> None:
        """Make their tables, each with its own command."""
        pgq = str(Path(self.python).with_name("pgq"))
        worker = (self.python, "-m", "tests.bench.peers.procrastinate_worker", "install")
        postgres.prepare("pgqueuer", lambda dsn: _run(pgq, "--pg-dsn", dsn, "install"))
        postgres.prepare("procrastinate", lambda dsn: _run(*worker, BENCH_DSN=dsn))
        postgres.prepare("serial", lambda dsn: asyncio.run(_make_serial(dsn)))


@contextmanager
def installed_peers() -> Iterator[Peers]:
    """Install them, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="stocksync-peers-") as folder:
        venv.create(folder, with_pip=True)
        peers = Peers(Path(folder))
        _run(peers.python, "-m", "pip", "install", "--quiet", *PACKAGES)
        yield peers


async def _make_serial(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(SERIAL_TABLE)
    await connection.close()


def _run(*command: str, **environment: str) -> None:
    _said(*command, **environment)


def _said(*command: str, **environment: str) -> str:
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        sys.stderr.write(ended.stdout + ended.stderr)
        ended.check_returncode()
    return ended.stdout
