"""Places: a value is looked for in the environment, then $CREDENTIALS_DIRECTORY, then the env file.

An empty value is none. Names may be written in any letter case.
"""

import io
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from dotenv.parser import parse_stream

from stocksync.settings.group import ALSO_KNOWN_AS, PREFIX

# Not the sources that come with pydantic-settings (tried with 2.16): they pass over an env file
# that is missing and lines in it that are none, put variables in for ${NAME}, take a blank for a
# value, leave out a credential that is a link to elsewhere, see no misspelt name in the
# environment, and do not tell the name and the place that a wrong value came from.


class Found(NamedTuple):
    """A value, not yet held against any rule."""

    value: str
    spelt: str
    """The name as the user wrote it, and where."""


def look(
    known: AbstractSet[str], *, environ: Mapping[str, str], env_file: Path | None
) -> tuple[dict[str, Found], list[str], list[str]]:
    """Return each known name that has a value, from the first place that has one, and the problems.

    These are places that cannot be read, and, apart from them, names with our prefix that are not
    known.
    """
    problems: list[str] = []
    unknown: list[str] = []
    places = {
        "": environ,
        " in $CREDENTIALS_DIRECTORY": _credentials(environ, problems),
        " in the env file": _env_file(env_file, problems),
    }
    found: dict[str, Found] = {}
    for where, named_values in places.items():
        by_name = {
            name.upper(): Found(value, name + where)
            for name, value in named_values.items()
            if value.strip()
        }
        unknown += [
            f"{by_name[name].spelt}: is unknown; the nearest known name is {_nearest(name, known)}"
            for name in sorted(by_name)
            if name.startswith(PREFIX) and name not in known
        ]
        for name in known - found.keys():
            for spelling in (name, ALSO_KNOWN_AS.get(name)):
                if spelling in by_name:
                    found[name] = by_name[spelling]
                    break
    return found, problems, unknown


def _credentials(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    try:
        paths = sorted(path for path in Path(directory).iterdir() if path.is_file())
    except FileNotFoundError:  # inherited from a service that has ended
        return {}
    except OSError as error:
        problems.append(f"{directory}: cannot be read ({error.strerror})")
        return {}
    ours = (PREFIX, *ALSO_KNOWN_AS.values())
    return {
        path.name: _read(path, problems).rstrip("\r\n")
        for path in paths
        if path.name.upper().startswith(ours)
    }


def _env_file(path: Path | None, problems: list[str]) -> dict[str, str]:
    """Read the file's lines; `${NAME}` stays as it is, for a password may look like this."""
    values = {}
    for line in parse_stream(io.StringIO("" if path is None else _read(path, problems))):
        if line.error:
            problems.append(f"{path}: line {line.original.line} is not NAME=value")
        elif line.key is not None:
            values[line.key] = line.value or ""
    return values


def _read(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        problems.append(f"{path}: cannot be read (not UTF-8)")
    return ""


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like `name`, by what follows the prefix."""
    wanted = name.removeprefix(PREFIX)
    return max(
        sorted(known),
        key=lambda each: SequenceMatcher(a=wanted, b=each.removeprefix(PREFIX)).ratio(),
    )
