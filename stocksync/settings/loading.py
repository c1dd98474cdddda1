"""Loading: the groups that a command asks for, from what the places hold; all problems at once."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict, TypeVar, Unpack, overload

from pydantic import ValidationError

from stocksync.model import SettingsError
from stocksync.settings.groups import Group, relations
from stocksync.settings.places import Found, look


class Sources(TypedDict, total=False):
    """Where else to look than in the process's own environment."""

    env_file: Path | None
    environ: Mapping[str, str] | None


A = TypeVar("A", bound=Group)
B = TypeVar("B", bound=Group)
C = TypeVar("C", bound=Group)
D = TypeVar("D", bound=Group)
E = TypeVar("E", bound=Group)


# The type system cannot say "of each of these classes an instance": it is told once for each
# number of groups.
@overload
def load(a: type[A], /, **sources: Unpack[Sources]) -> tuple[A]: ...
@overload
def load(a: type[A], b: type[B], /, **sources: Unpack[Sources]) -> tuple[A, B]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], /, **sources: Unpack[Sources]) -> tuple[A, B, C]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], /, **sources: Unpack[Sources]
) -> tuple[A, B, C, D]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /, **sources: Unpack[Sources]
) -> tuple[A, B, C, D, E]: ...
@overload
def load(*groups: type[Group], **sources: Unpack[Sources]) -> tuple[Group, ...]: ...
def load(
    *groups: type[Group],
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Group, ...]:
    """Return the groups that a command needs, in the order asked for.

    `env_file` is what the user named with --env-file; `environ` stands for os.environ.
    SettingsError: all that is wrong with these groups, and every unknown STOCK_SYNC_ name.
    """
    known = {name for group in Group.__subclasses__() for name in group.names().values()}
    found, problems = look(
        known, environ=os.environ if environ is None else environ, env_file=env_file
    )
    loaded: list[Group] = []
    for group in groups:
        values = {
            field: found[name].value for field, name in group.names().items() if name in found
        }
        try:
            loaded.append(group(**values))
        except ValidationError as error:
            problems += _problems(group, error, found)
    problems += relations(loaded)
    if problems:
        raise SettingsError(*problems)
    return tuple(loaded)


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: str
    description: str


def describe() -> list[Setting]:
    """Return every setting, in the order of the groups; the default as one would write it."""
    return [
        Setting(
            name=name,
            default="required" if field.is_required() else _written(field.default),
            description=field.description or "",
        )
        for group in Group.__subclasses__()
        for name, field in zip(group.names().values(), group.model_fields.values(), strict=True)
    ]


def _problems(
    group: type[Group], error: ValidationError, found: Mapping[str, Found]
) -> Iterator[str]:
    """One line for each; a message never repeats a value."""
    for each in error.errors(include_input=False, include_url=False):
        rule = str(each["ctx"]["error"]) if each["type"] == "value_error" else each["msg"]
        if not each["loc"]:
            yield rule  # of the whole group: it names its variables itself
            continue
        name = group.names()[str(each["loc"][0])]
        if each["type"] == "missing":
            yield f"{name}: is required"
        else:
            yield f"{found[name].spelt}: {rule}"


def _written(default: object) -> str:
    return "–" if default is None else str(default).lower()
