"""Grants: the least that each role needs, as SQL for whoever owns the tables to run."""

from collections.abc import Mapping
from typing import Literal

from stocksync.statements import qualified, sql_directory

Part = Literal["producer", "daemon", "reader"]
"""What a role does: insert, work, look."""


def grants(roles: Mapping[Part, str], *, schema: str) -> str:
    """The statements of `sql/grants/` for these roles; twice is a no-op."""
    return "\n".join(_grant(part, role, schema=schema) for part, role in roles.items())


def _grant(part: Part, role: str, *, schema: str) -> str:
    text = (sql_directory() / "grants" / f"{part}.sql").read_text("utf-8")
    quoted = '"' + role.replace('"', '""') + '"'
    return qualified(text, schema).replace(':"role"', quoted)
