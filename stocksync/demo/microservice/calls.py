"""A request as the microservice understands it: which route it takes, and what it names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

_ORDER = "/api/v1/orders/(?P<order_id>[^/]+)"
ROUTES = tuple(
    (method, re.compile(pattern, re.DOTALL), name)
    for method, pattern, name in (
        ("PATCH", f"{_ORDER}/stock-status", "stock_status"),
        ("GET", f"{_ORDER}/technical-flags", "technical_flags"),
        ("GET", "/api/v1/orders/technical-flags/summary", "summary"),
        ("GET", "/api/v1/orders/", "orders"),
        ("GET", _ORDER, "order"),
        ("GET", "/api/v1/tokens/", "tokens"),
        ("GET", "/health", "health"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as the service understands it."""

    method: str
    target: str
    """Path and query, still percent-encoded."""
    path: str
    route: str
    """A name out of ROUTES; "" for none."""
    order_id: str
    parameters: Mapping[str, str]
    authorization: str
    body: bytes

    @property
    def token_id(self) -> str:
        """The token that is asked for, valid or not."""
        return self.parameters.get("token_id", "")


def call_of(*, method: str, target: str, authorization: str, body: bytes) -> Call:
    """Understand a request.

    The path is decoded before it is routed, as the service does it: no order id holds a slash, and
    one that is not UTF-8 becomes another.
    """
    raw_path, _, query = target.partition("?")
    path = unquote(raw_path)
    route, match = next(
        (
            (name, match)
            for wanted, pattern, name in ROUTES
            if wanted == method and (match := pattern.fullmatch(path))
        ),
        ("", None),
    )
    return Call(
        method=method,
        target=target,
        path=path,
        route=route,
        order_id=match.groupdict().get("order_id", "") if match else "",
        parameters=dict(parse_qsl(query, keep_blank_values=True)),
        authorization=authorization,
        body=body,
    )
