"""Documents: what the verbs show as JSON; keys by the columns' names, times in ISO 8601 UTC."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from stocksync.operations import Order, Page, Story
from stocksync.schema import ForeignKey, Migration
from stocksync.verdict import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFlag:
    """The flag that the microservice holds; None: it is not known, and why."""

    flag: bool | None
    why_not: str | None


def written(document: dict[str, Any]) -> str:
    """The document as JSON, for people too."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain)


def page(page: Page) -> dict[str, Any]:
    """Some operations, and how many match."""
    return asdict(page)


def story(story: Story) -> dict[str, Any]:
    """An operation and its history."""
    return asdict(story)


def orders(orders: Sequence[Order], flags: Sequence[ServiceFlag]) -> dict[str, Any]:
    """An order, once for each account that knows it."""
    return {
        "orders": [
            asdict(order) | {"service_flag": flag.flag, "service_flag_unknown": flag.why_not}
            for order, flag in zip(orders, flags, strict=True)
        ]
    }


def standing(standing: Standing) -> dict[str, Any]:
    """How the outbox stands."""
    numbers = standing.numbers
    return asdict(standing) | {
        "numbers": asdict(numbers)
        | {
            "oldest_due_seconds": numbers.oldest_due_seconds,
            "backlog_seconds": numbers.backlog_seconds,
        }
    }


def changed(ids: Sequence[UUID]) -> dict[str, Any]:
    """What a retry or a cancel changed."""
    return {"operation_ids": list(ids)}


def migration(
    applied: Sequence[Migration], keys: Sequence[tuple[ForeignKey, str]], *, is_dry_run: bool
) -> dict[str, Any]:
    """What a migration applied, or would apply."""
    return {
        "is_dry_run": is_dry_run,
        "migrations": [f"{each.version:04}_{each.name}" for each in applied],
        "foreign_keys": [
            {"name": key.name, "column": key.column, "table": key.table, "result": result}
            for key, result in keys
        ],
    }


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value)
