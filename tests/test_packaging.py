"""What is shipped is whole: wheel and sdist carry the SQL, and an installed wheel finds it."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import stocksync

CHECKOUT = Path(__file__).parent.parent
MIGRATIONS = {path.name for path in (CHECKOUT / "sql" / "migrations").glob("*.sql")}
QUERIES = {path.name for path in (CHECKOUT / "sql" / "queries").glob("*.sql")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


def _run(*command: str | Path, folder: Path) -> str:
    foreign = ("PYTHON", "STOCK_SYNC_", "PIP_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _build(source: Path, target: str, folder: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, folder=source)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    folder = tmp_path_factory.mktemp("shipped")
    wheel = _build(CHECKOUT, "wheel", folder / "wheel")
    sdist = _build(CHECKOUT, "sdist", folder / "sdist")
    (folder / "source").mkdir()
    _run("tar", "-xf", sdist, folder=folder / "source")
    source = next((folder / "source").iterdir())
    return Shipped(
        wheel=wheel, sdist=sdist, wheel_of_sdist=_build(source, "wheel", folder / "wheel_of_sdist")
    )


@pytest.fixture(scope="module")
def installed(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the wheel in it, and its dependencies borrowed from ours."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", venv, folder=venv.parent)
    python = venv / "bin" / "python"
    offline = ("--no-deps", "--no-index", "--quiet")
    pip = (sys.executable, "-m", "pip", "--python", python)
    _run(*pip, "install", *offline, shipped.wheel, folder=venv.parent)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    # Not seen from here: an editable install of ours, whose own .pth is not followed.
    own = Path(_run(python, "-c", ask, folder=venv.parent).strip())
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return venv / "bin"


def _sql_in(names: set[str], kind: str) -> set[str]:
    folder = f"stocksync/sql/{kind}/"
    return {name.removeprefix(folder) for name in names if name.startswith(folder)}


def test_the_wheel_carries_all_sql(shipped: Shipped) -> None:
    with zipfile.ZipFile(shipped.wheel) as wheel:
        names = set(wheel.namelist())
    assert MIGRATIONS
    assert QUERIES
    assert _sql_in(names, "migrations") == MIGRATIONS
    assert _sql_in(names, "queries") == QUERIES


def test_the_sdist_makes_the_same_wheel(shipped: Shipped) -> None:
    with zipfile.ZipFile(shipped.wheel) as ours, zipfile.ZipFile(shipped.wheel_of_sdist) as theirs:
        assert sorted(theirs.namelist()) == sorted(ours.namelist())


def test_the_sdist_carries_the_tests_and_the_sql(shipped: Shipped) -> None:
    with tarfile.open(shipped.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert f"tests/{Path(__file__).name}" in names
    assert {f"sql/migrations/{name}" for name in MIGRATIONS} <= names
    assert {f"sql/queries/{name}" for name in QUERIES} <= names


def test_an_installed_wheel_finds_its_migrations(installed: Path, tmp_path: Path) -> None:
    program = (
        "import stocksync.schema as schema; print(schema.__file__); print(len(schema.migrations()))"
    )
    home, found = _run(installed / "python", "-c", program, folder=tmp_path).splitlines()
    assert Path(home).is_relative_to(installed.parent)
    assert int(found) == len(MIGRATIONS)


def test_an_installed_wheel_brings_the_command(installed: Path, tmp_path: Path) -> None:
    said = _run(installed / "stocksync", "--version", folder=tmp_path)
    assert said.split()[-1] == stocksync.__version__
