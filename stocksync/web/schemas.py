"""Schemas: the shape of each answer, for the OpenAPI document; the tests hold answers to them."""

from collections.abc import Mapping
from typing import Any

from stocksync.model import OperationType, Status
from stocksync.operations import Wait
from stocksync.verdict import Verdict

Schema = dict[str, Any]


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Schema) -> Schema:
    """All of these, and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_UUID: Schema = {"type": "string", "format": "uuid"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_ANY: Schema = {"type": "object", "additionalProperties": True}
_VERDICT: Schema = {"type": "string", "enum": [str(each) for each in Verdict]}
_STATUS: Schema = {"type": "string", "enum": [str(each) for each in Status]}

_ACCOUNT_NAME: Schema = _or_null(_TEXT) | {
    "description": "as the microservice calls it; null: it has not said so yet, or no account"
}

_OPERATION = {
    "id": _UUID,
    "token_id": _TEXT,
    "account_name": _ACCOUNT_NAME,
    "order_id": _TEXT,
    "allegro_order_id": _or_null(_TEXT),
    "operation_type": {"type": "string", "enum": [str(each) for each in OperationType]},
    "sku": _TEXT,
    "quantity": _WHOLE,
    "warehouse": _TEXT,
    "status": _STATUS,
    "retry_count": _WHOLE,
    "max_retries": _or_null(_WHOLE),
    "next_retry_at": _TIME,
    "created_at": _TIME,
    "updated_at": _TIME,
    "completed_at": _or_null(_TIME),
    "error_message": _or_null(_TEXT),
    "attempts": _WHOLE,
    "attempted_at": _or_null(_TIME),
    "lease_until": _or_null(_TIME),
}
_STATISTICS = {
    "pending_operations": _WHOLE,
    "processing_operations": _WHOLE,
    "failed_operations": _WHOLE,
    "completed_today": _WHOLE | {"description": "rows, since midnight UTC"},
    "stale_operations": _WHOLE,
    "due_operations": _WHOLE | {"description": "rows that may be claimed now"},
    "due_orders": _WHOLE | {"description": "orders that may be pushed again now"},
    "held_operations": _WHOLE | {"description": "due rows that a circuit or a pause holds up"},
    "held_orders": _WHOLE,
    "retrying_operations": _WHOLE
    | {"description": "pending rows that failed before, and are not held up"},
    "orders_to_push_again": _WHOLE,
    "ambiguous_orders": _WHOLE,
    "oldest_due_seconds": _or_null(_NUMBER),
    "next_due_at": _or_null(_TIME),
    "next_retry_at": _or_null(_TIME),
    "backlog_seconds": _or_null(_NUMBER) | {"description": "null: nobody can say"},
    "completed_per_second": _NUMBER,
    "last_completed_at": _or_null(_TIME),
    "first_try_share": _or_null(_NUMBER),
    "mean_retry_seconds": _or_null(_NUMBER),
    "failure_rate": _or_null(_NUMBER),
    "retry_error": _or_null(_TEXT),
    "failed_error": _or_null(_TEXT),
}

SCHEMAS: Mapping[str, Schema] = {
    "Detail": _object(detail=_TEXT),
    "Health": _object(status={"const": "alive"}, version=_TEXT),
    "Ready": _object(is_ready=_FLAG, verdict=_or_null(_VERDICT), reasons=_list(_TEXT)),
    "Status": _object(
        status={"type": "string", "enum": ["healthy", "warning", "critical"]},
        verdict=_VERDICT,
        reasons=_list(_TEXT),
        statistics=_object(**_STATISTICS),
        circuits=_list(_ref("Circuit")),
        circuits_total=_WHOLE,
        daemons=_list(_ref("Daemon")),
        timers=_list(_ref("Timer")),
        telegram=_object(
            refused=_or_null(_TEXT),
            refused_at=_or_null(_TIME),
            muted_until=_or_null(_TIME),
            muted_by=_or_null(_TEXT),
            unsent=_WHOLE,
            oldest_unsent_at=_or_null(_TIME),
        ),
        oldest_snapshot=_or_null(
            _object(
                pid=_WHOLE,
                application_name=_or_null(_TEXT),
                state=_or_null(_TEXT),
                age_seconds=_NUMBER,
            )
        ),
        limits=_ANY | {"description": "by which the verdict was given"},
        last_updated=_TIME,
    ),
    "Circuit": _object(
        token_id=_or_null(_TEXT) | {"description": "null: of the service, or of everything"},
        account_name=_ACCOUNT_NAME,
        is_open=_FLAG,
        reason=_or_null(_TEXT),
        opened_at=_or_null(_TIME),
        probes=_WHOLE,
        probe_at=_or_null(_TIME),
        is_probing=_FLAG,
        is_paused=_FLAG,
        paused_until=_or_null(_TIME),
        paused_by=_or_null(_TEXT),
        waiting_rows=_or_null(_WHOLE),
    ),
    "Daemon": _object(
        name=_TEXT,
        host=_TEXT,
        pid=_WHOLE,
        version=_TEXT,
        started_at=_TIME,
        seen_seconds=_NUMBER,
        is_alive=_FLAG,
        is_listening=_or_null(_FLAG),
        in_flight=_WHOLE,
        settled_at=_or_null(_TIME),
    ),
    "Timer": _object(
        name=_TEXT,
        interval_seconds=_WHOLE,
        due_at=_TIME,
        is_running=_FLAG,
        runner=_or_null(_TEXT),
        started_at=_or_null(_TIME),
        ended_at=_or_null(_TIME),
        succeeded_at=_or_null(_TIME),
        result=_or_null(_ANY),
        error=_or_null(_TEXT),
        is_overdue=_FLAG,
    ),
    "Operation": _object(**_OPERATION),
    "Entry": _object(
        id=_or_null(_WHOLE),
        operation_id=_UUID,
        action=_TEXT,
        status=_STATUS,
        details=_ANY,
        timestamp=_TIME,
        execution_time_ms=_or_null(_WHOLE),
    ),
    "Story": _object(**_OPERATION, history=_list(_ref("Entry"))),
    "Page": _object(operations=_list(_ref("Operation")), total=_WHOLE, limit=_WHOLE, offset=_WHOLE),
    "Orders": _object(orders=_list(_ref("Order"))),
    "Order": _object(
        token_id=_TEXT,
        account_name=_ACCOUNT_NAME,
        order_id=_TEXT,
        balance=_WHOLE,
        carried_balance=_WHOLE,
        wanted_flag=_FLAG,
        push_due_at=_or_null(_TIME),
        attempt=_WHOLE,
        ambiguous_at=_or_null(_TIME),
        is_order_claimed=_FLAG,
        lease_until=_or_null(_TIME),
        waits_for={"type": "string", "enum": [str(each) for each in Wait]},
        waits_until=_or_null(_TIME),
        has_daemon=_FLAG,
        last_attempt=_or_null(
            _object(
                at=_TIME,
                by=_or_null(_TEXT),
                action=_TEXT,
                is_proven=_FLAG,
                http_status=_or_null(_WHOLE),
                error=_or_null(_TEXT),
                cause=_or_null(_TEXT),
                duration_ms=_or_null(_WHOLE),
            )
        ),
        repairs=_WHOLE,
        reconciled=_or_null(
            _object(
                at=_TIME,
                by=_or_null(_TEXT),
                act=_TEXT,
                wanted=_or_null(_FLAG),
                found=_or_null(_FLAG),
            )
        ),
        circuits=_list(_ref("Circuit")),
        operations=_list(_ref("Story")) | {"description": "the newest, 200 at most, oldest first"},
        operations_total=_WHOLE,
        now=_TIME,
    ),
    "Errors": _object(
        errors=_list(
            _object(
                token_id=_TEXT,
                account_name=_ACCOUNT_NAME,
                error=_or_null(_TEXT),
                row_count=_WHOLE,
                order_count=_WHOLE,
                last_at=_TIME,
                examples=_list(_UUID),
            )
        ),
        looked_at=_WHOLE,
        is_sample=_FLAG,
    ),
    "History": _object(
        bucket_minutes=_WHOLE,
        points=_list(
            _object(
                at=_TIME,
                attempts=_WHOLE,
                unproven=_WHOLE,
                orders_pushed=_WHOLE,
                rows_completed=_WHOLE,
                rows_failed=_WHOLE,
                row_retries=_WHOLE,
                mean_push_ms=_or_null(_NUMBER),
                slowest_push_ms=_or_null(_WHOLE),
                due_rows=_or_null(_WHOLE) | {"description": "null: nobody looked"},
                oldest_due_seconds=_or_null(_NUMBER),
            )
        ),
    ),
    "Queued": _object(status={"const": "queued"}),
    "Acted": _object(message=_TEXT, operation_id=_UUID),
}
