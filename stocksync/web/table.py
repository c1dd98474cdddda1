"""The table of routes: what may be asked, by whom, and what it comes to."""

from http import HTTPStatus

from stocksync.web import parameters as p
from stocksync.web.access import Need
from stocksync.web.answers import JSON
from stocksync.web.api import Api
from stocksync.web.page import page
from stocksync.web.probes import Probes
from stocksync.web.routes import Route, Serve

BASE = "/api/v1/stock-sync"
_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE
_UNKNOWN = HTTPStatus.NOT_FOUND
_NOT_POSSIBLE = HTTPStatus.BAD_REQUEST


def routes(api: Api, probes: Probes, *, describe: Serve) -> tuple[Route, ...]:
    """All of them; `describe` answers with the OpenAPI document of these."""
    return (
        _probe("/healthz", "The process lives.", probes.health, "Health"),
        _probe("/readyz", "It works, or why not.", probes.ready, "Ready"),
        _probe(
            "/metrics",
            "For Prometheus.",
            probes.metrics,
            None,
            kind="text/plain",
            need=Need.TO_READ,
        ),
        _probe("/openapi.json", "This document.", describe, None),
        _probe("/", "A page for people.", page, None, kind="text/html"),
        _read("status", "The verdict, its reasons, and the numbers.", api.status, "Status"),
        _read(
            "pending",
            "Operations, newest first; without a status: all.",
            api.list_operations,
            "Page",
            p.LIMIT,
            p.OFFSET,
            p.STATUS,
            p.TOKEN_ID,
            p.ORDER_ID,
        ),
        _read("operations/{id}", "An operation and its history.", api.show, "Story", p.ID),
        _read(
            "orders/{order_id}",
            "An order's whole story, for each account that knows it.",
            api.show_order,
            "Orders",
            p.ORDER,
            p.TOKEN_ID,
        ),
        _read("errors", "Why operations failed for good.", api.errors, "Errors"),
        _read("history", "What was done lately.", api.history, "History", p.HOURS),
        _act(
            "POST",
            "reconcile",
            "Compare the flags of both sides at once.",
            api.reconcile,
            "Queued",
            p.TOKEN_ID,
            status=HTTPStatus.ACCEPTED,
        ),
        _act(
            "POST",
            "retry/{id}",
            "Try a pending or failed operation again now.",
            api.retry,
            "Acted",
            p.ID,
        ),
        _act(
            "DELETE",
            "cancel/{id}",
            "Cancel a pending or failed operation; nobody can take it back.",
            api.cancel,
            "Acted",
            p.ID,
            p.REASON,
        ),
    )


def _probe(
    path: str,
    says: str,
    serve: Serve,
    answers: str | None,
    *,
    kind: str = JSON,
    need: Need = Need.NOTHING,
) -> Route:
    return Route(
        method="GET",
        path=path,
        says=says,
        serve=serve,
        need=need,
        answers=answers,
        refuses=(_UNAVAILABLE,) if answers == "Ready" else (),
        content_type=kind,
        # Probes and browsers add what they like.
        is_lenient=True,
    )


def _read(path: str, says: str, serve: Serve, answers: str, *takes: p.Parameter) -> Route:
    is_of_one = any(parameter.place == "path" for parameter in takes)
    return Route(
        method="GET",
        path=f"{BASE}/{path}",
        says=says,
        serve=serve,
        need=Need.TO_READ,
        answers=answers,
        parameters=takes,
        refuses=(_UNAVAILABLE, _UNKNOWN) if is_of_one else (_UNAVAILABLE,),
    )


def _act(
    method: str,
    path: str,
    says: str,
    serve: Serve,
    answers: str,
    *takes: p.Parameter,
    status: HTTPStatus = HTTPStatus.OK,
) -> Route:
    return Route(
        method=method,
        path=f"{BASE}/{path}",
        says=says,
        serve=serve,
        need=Need.TO_ACT,
        answers=answers,
        parameters=takes,
        status=status,
        refuses=(_NOT_POSSIBLE, _UNKNOWN, _UNAVAILABLE),
    )
