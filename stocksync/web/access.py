"""Access: who may ask, who may act (README: "HTTP")."""

import hmac
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus
from ipaddress import ip_address

from stocksync.web.answers import Refusal

_SETTING = "STOCK_SYNC_HTTP_TOKEN"
# A proxy on this machine brings strangers to the loopback, and says so.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


class Need(Enum):
    """What a call asks of who makes it."""

    NOTHING = auto()
    TO_READ = auto()
    """The token, or to be on this machine."""
    TO_ACT = auto()
    """The token."""


class Access:
    """Checks the token where one is needed.

    Reading needs none where only this machine can ask: at a loopback address, under a loopback
    name. Under another name it is a web page that had its own name point here (DNS rebinding), or
    a proxy: both bring strangers.
    """

    def __init__(self, *, host: str, token: str | None) -> None:
        self._host = host
        self._is_loopback = _is_loopback(host)
        self._token = None if token is None else token.encode()

    def check(self, need: Need, headers: Mapping[str, str]) -> None:
        """Raise `Refusal`: 401."""
        if need is Need.NOTHING or (need is Need.TO_READ and self._is_local(headers)):
            return
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer"
        if self._token is None:
            raise _unauthorized(f"it needs a token, and {_SETTING} is not set: nobody may")
        if not is_bearer:
            raise _unauthorized("it needs the header Authorization: Bearer, with the token")
        if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token):
            raise _unauthorized("the token is wrong", error="invalid_token")

    def _is_local(self, headers: Mapping[str, str]) -> bool:
        if not self._is_loopback or any(name in headers for name in _FORWARDED):
            return False
        name = _without_port(headers.get("Host", ""))
        return name == self._host or _is_loopback(name)


def _unauthorized(detail: str, *, error: str | None = None) -> Refusal:
    challenge = 'Bearer realm="stocksync"' + (f', error="{error}"' if error else "")
    return Refusal(HTTPStatus.UNAUTHORIZED, detail, WWW_Authenticate=challenge)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
