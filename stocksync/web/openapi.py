"""The OpenAPI document, made of the routes and the schemas."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from stocksync import __version__
from stocksync.web.access import Need
from stocksync.web.parameters import Parameter
from stocksync.web.routes import Route
from stocksync.web.schemas import SCHEMAS

_INTRODUCTION = (
    "How the stock outbox stands, and what to do about it. Calls that write need the token; calls "
    "that read need it, too, where others than this machine may ask. Times are the database's, in "
    "UTC."
)


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The document, version 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stocksync", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.says,
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": {str(int(status)): _response(route, status) for status in _statuses(route)},
    }
    if route.need is not Need.NOTHING:
        operation["security"] = [{"token": []}]
        if route.need is Need.TO_READ:
            # On this machine, nothing is needed.
            operation["security"].append({})
    return operation


def _statuses(route: Route) -> list[HTTPStatus]:
    statuses = [route.status, *route.refuses, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
    if route.need is not Need.NOTHING:
        statuses.append(HTTPStatus.UNAUTHORIZED)
    if not route.is_lenient:
        statuses.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    return sorted(set(statuses))


def _response(route: Route, status: HTTPStatus) -> dict[str, Any]:
    response: dict[str, Any] = {"description": status.phrase}
    if status is route.status and route.answers is None:
        return response | {"content": {route.content_type: {}}}
    schema = "Detail"
    # Not ready is no refusal.
    if status is route.status or (status in route.refuses and route.answers == "Ready"):
        schema = route.answers or "Detail"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return response | {"content": content}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": f"{parameter.says}; {parameter.rule}",
        "schema": dict(parameter.schema),
    }
