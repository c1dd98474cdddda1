"""Loading: the groups that a command asks for, from what the places hold; all problems at once."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from stocksync.model import SettingsError
from stocksync.settings.group import Group
from stocksync.settings.groups import relations
from stocksync.settings.places import Found, look

G = TypeVar("G", bound=Group)


class Loaded:
    """The groups that were asked for, each by its class: `loaded[Database]`."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._by_type: dict[type[Group], Group] = {type(group): group for group in groups}

    def __getitem__(self, group: type[G]) -> G:
        """One of the groups."""
        found = self._by_type[group]
        assert isinstance(found, group)  # noqa: S101 - it was filed under its own class
        return found


def load(
    *groups: type[Group],
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    may_have_unknown: bool = False,
) -> Loaded:
    """Return the groups that a command needs.

    `env_file` is what the user named with --env-file; `environ` stands for os.environ.
    SettingsError: all that is wrong with these groups, and, unless it `may_have_unknown`, every
    unknown STOCK_SYNC_ name.
    """
    known = {name for group in Group.__subclasses__() for name in group.names().values()}
    found, problems, unknown = look(
        known, environ=os.environ if environ is None else environ, env_file=env_file
    )
    if not may_have_unknown:
        problems += unknown
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
    return Loaded(loaded)


class Setting(NamedTuple):
    """One row of the table of settings."""

    name: str
    default: str
    description: str


def describe() -> list[Setting]:
    """Return every setting, in the order of the groups; the default as one would write it."""
    by_name = {
        name: Setting(
            name=name,
            default="required" if field.is_required() else _written(field.default),
            description=field.description or "",
        )
        for group in Group.__subclasses__()
        for name, field in zip(group.names().values(), group.model_fields.values(), strict=True)
    }
    return list(by_name.values())


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
    return "–" if default is None or default == () else str(default).lower()
