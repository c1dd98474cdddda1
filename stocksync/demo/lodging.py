"""Lodging: as which user, in which folder and from which binaries Postgres can run here."""

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from stocksync.demo.binaries import WHEEL, NoPostgres
from stocksync.demo.processes import User

_LONGEST_SOCKET_PATH = 107  # sun_path of Linux, less its closing zero


def server_user() -> User:
    """Give the user and group that Postgres runs as: ours, or nobody's when we are root."""
    if os.geteuid() != 0:
        return User(os.geteuid(), os.getegid())
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NoPostgres(
            "Postgres does not run as root and there is no user `nobody`: run as another user"
        ) from None
    return User(nobody.pw_uid, nobody.pw_gid)


def make_folder() -> Path:
    """Make a folder of the server's user, with a path short enough for a socket in it."""
    uid, gid = server_user()
    socket_name = len("/stocksync-pg-12345678/.s.PGSQL.65535")
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp is safe there
        is_short = len(os.fsencode(base)) + socket_name <= _LONGEST_SOCKET_PATH
        if is_short and _others_may_enter(Path(base)):
            folder = Path(tempfile.mkdtemp(prefix="stocksync-pg-", dir=base))
            os.chown(folder, uid, gid)
            return folder
    raise NoPostgres("no temporary folder with a short path that the server may enter")


def reachable(bindir: Path, folder: Path) -> Path:
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
    uid, gid = server_user()
    for path in folder.rglob("*"):
        os.chown(path, uid, gid, follow_symlinks=False)
    return folder / package.name / install.name / "bin"


def _others_may_enter(path: Path) -> bool:
    """Tell whether the server's user may go there; only root starts it as another than itself."""
    if os.geteuid() != 0:
        return True
    path = path.resolve()
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))
