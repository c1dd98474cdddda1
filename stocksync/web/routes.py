"""Routes: what may be asked; the same table serves the calls and the OpenAPI document."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stocksync.web.access import Need
from stocksync.web.answers import JSON, Answer, Refusal
from stocksync.web.parameters import Parameter, decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that may be served: its parameters' values, and from where it came."""

    values: Mapping[str, Any]
    peer: str


Serve = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, and what they come to."""

    method: str
    path: str
    """With `{name}` where a parameter stands."""
    says: str
    serve: Serve
    need: Need
    answers: str | None
    """The schema of what is answered; None: it is not JSON of ours."""
    parameters: tuple[Parameter, ...] = ()
    status: HTTPStatus = HTTPStatus.OK
    refuses: tuple[HTTPStatus, ...] = ()
    """With what else it may be answered, beside what its need and its parameters bring."""
    content_type: str = JSON
    is_lenient: bool = False
    """A query that it does not know is passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A route, and the parts of the path that are its parameters."""

    route: Route
    path_values: Mapping[str, str]


def match(routes: Sequence[Route], method: str, path: str) -> Match:
    """The route of a call; HEAD goes where GET goes. Raises `Refusal`: 404, 405, 422."""
    segments = path.split("/")
    found = {
        route.method: Match(route=route, path_values=values)
        for route in routes
        if (values := _values(route.path.split("/"), segments)) is not None
    }
    if not found:
        raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing here; /openapi.json says what is")
    wanted = found.get("GET" if method == "HEAD" else method)
    if wanted is None:
        allowed = ", ".join([*sorted(found), *(["HEAD"] if "GET" in found else [])])
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"this path takes {allowed}", Allow=allowed)
    return wanted


def _values(template: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    values = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            # Split before it was decoded: a slash in an id stays in it.
            values[wanted.strip("{}")] = decoded(given)
        elif wanted != given:
            return None
    return values
