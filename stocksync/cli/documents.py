"""Documents: what the verbs show as JSON; keys by the columns' names, times in ISO 8601 UTC."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from stocksync.operations import Failed, Order, Page, Story
from stocksync.schema import ForeignKey, Migration
from stocksync.verdict import CircuitSeen, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFlag:
    """The flag that the microservice holds; None: it is not known, and why."""

    flag: bool | None
    why_not: str | None


def written(document: dict[str, Any]) -> str:
    """The document as JSON, for people too."""
    return json.dumps(document, ensure_ascii=False, indent=2, default=_plain)


def on_a_line(document: dict[str, Any]) -> str:
    """The document as one line of JSON, of many."""
    return json.dumps(document, ensure_ascii=False, default=_plain) + "\n"


def page(page: Page) -> dict[str, Any]:
    """Some operations, how many match, and what holds them up."""
    return asdict(page) | {"circuits": _circuits(page.circuits)}


def story(story: Story) -> dict[str, Any]:
    """An operation and its history."""
    return asdict(story) | {"circuits": _circuits(story.circuits)}


def orders(orders: Sequence[Order], flags: Sequence[ServiceFlag]) -> dict[str, Any]:
    """An order, once for each account that knows it."""
    return {
        "orders": [
            asdict(order)
            | {
                "circuits": _circuits(order.circuits),
                "service_flag": flag.flag,
                "service_flag_unknown": flag.why_not,
            }
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
            "completed_per_second": numbers.completed_per_second,
            "backlog_seconds": numbers.backlog_seconds,
            "failure_rate": numbers.failure_rate,
        },
        "circuits": _circuits(standing.circuits),
    }


def paused(*, token_id: str, until: datetime, by: str) -> dict[str, Any]:
    """What a pause did; no token: of all."""
    return {"token_id": token_id or None, "paused_until": until, "paused_by": by}


def resumed(*, token_id: str, was_paused: bool, still: Sequence[CircuitSeen]) -> dict[str, Any]:
    """What a resume did, and the pauses that remain."""
    return {
        "token_id": token_id or None,
        "was_paused": was_paused,
        "still_paused": [
            {"token_id": c.token_id or None, "paused_until": c.paused_until} for c in still
        ],
    }


def changed(ids: Sequence[UUID]) -> dict[str, Any]:
    """What a retry or a cancel changed."""
    return {"operation_ids": list(ids)}


def bulk(failed: Failed, *, changed: int | None, command: str | None) -> dict[str, Any]:
    """What matched, what was changed (None: --yes was missing), and what would change it."""
    return {
        "is_done": changed is not None,
        "counted": failed.count,
        "changed": changed or 0,
        "accounts": [{"token_id": each.name, "count": each.count} for each in failed.accounts],
        "errors": [{"error": each.name, "count": each.count} for each in failed.errors],
        "command": command,
    }


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


def _circuits(circuits: Sequence[CircuitSeen]) -> list[dict[str, Any]]:
    """No token: the service's."""
    return [asdict(circuit) | {"token_id": circuit.token_id or None} for circuit in circuits]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value)
