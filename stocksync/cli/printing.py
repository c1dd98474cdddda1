"""The verbs that only print: grants, units, dashboards. They touch nothing."""

import shutil
import sys
from argparse import Namespace
from pathlib import Path

from stocksync import settings
from stocksync.dashboards import Board, dashboard
from stocksync.grants import Part, grants
from stocksync.systemd import Unit, unit

# systemd hides these from the unit (ProtectHome=yes, PrivateTmp=yes).
_HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - nothing is put there
# systemd runs no program with one of these in its path, however it is written.
_NOT_RUN = frozenset("\"'\\")


async def print_grants(arguments: Namespace) -> None:
    """Print the GRANTs of a set-up with least privilege."""
    parts: tuple[Part, ...] = ("producer", "daemon", "reader")
    given: dict[Part, str | None] = {part: getattr(arguments, part) for part in parts}
    schema = settings.load(settings.Schema, env_file=arguments.env_file)[settings.Schema]
    roles = {part: role for part, role in given.items() if role is not None}
    sys.stdout.write(grants(roles, schema=schema.database_schema))


async def print_unit(arguments: Namespace) -> None:
    """Print a systemd unit that runs this very installation."""
    executable = _executable()
    sys.stdout.write(unit(Unit[arguments.unit], executable=executable))
    if str(executable).startswith(_HIDDEN):
        sys.stderr.write(
            f"stocksync: {executable} lies where the unit cannot see it (ProtectHome, PrivateTmp): "
            "install it elsewhere, for instance into a venv under /opt\n"
        )
    if not _NOT_RUN.isdisjoint(str(executable)):
        sys.stderr.write(
            f"stocksync: systemd cannot run {executable}, for a quote or a backslash in its path: "
            "install it elsewhere\n"
        )


async def print_dashboard(arguments: Namespace) -> None:
    """Print what Grafana or Prometheus takes as it is."""
    sys.stdout.write(dashboard(Board[arguments.board]))


def _executable() -> Path:
    """The command as it was called; as a module, the one that is installed beside Python."""
    called = Path(sys.argv[0])
    if called.name == "stocksync":
        found = shutil.which(sys.argv[0])
        return Path(found or called).absolute()
    return Path(sys.executable).with_name("stocksync").absolute()
