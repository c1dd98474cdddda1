"""Who we are to the microservice: a JWT that was given, or one minted before it is missed."""

import re
import warnings
from collections.abc import Callable
from typing import Protocol

import jwt

from stocksync.model import SettingsError

LIFETIME_SECONDS = 3600
"""Short, so that a JWT that leaks is soon worth nothing (README: "Settings")."""
RENEW_SECONDS = LIFETIME_SECONDS / 2
"""So much is left at least: the service's clock may differ from the database's by that."""

_FITS_A_HEADER = re.compile(r"[A-Za-z0-9._~+/=-]+")  # b64token of RFC 6750


class Credentials(Protocol):
    """Where a JWT comes from."""

    def token(self) -> str:
        """Give the JWT to send."""

    def renewed(self, rejected: str) -> str | None:
        """Give another JWT after a 401 or 403; None: there is no other."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""


class GivenToken:
    """A ready JWT: used as it is until somebody gives another and restarts.

    Raises SettingsError where it cannot be one.
    """

    def __init__(self, token: str) -> None:
        if not _FITS_A_HEADER.fullmatch(token):
            raise SettingsError("the microservice's JWT is empty or has characters of no JWT")
        self._token = token

    def token(self) -> str:
        """Give the JWT to send."""
        return self._token

    def renewed(self, rejected: str) -> None:  # noqa: ARG002 - the protocol's shape
        """Give nothing: there is no secret to mint with."""
        return

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self._token,)


class MintedToken:
    """HS256 JWTs with claims `user_id` and `exp`, minted with the secret of the order system.

    `clock` gives the database's time, seconds since the epoch: a daemon's own clock may be wrong,
    and a JWT that is already over is refused. Raises SettingsError when nothing can be minted.
    """

    def __init__(self, *, secret: str, user_id: str, clock: Callable[[], float]) -> None:
        if not (secret and user_id):
            raise SettingsError("the microservice's JWT secret and user id must not be empty")
        self._secret = secret
        self._user_id = user_id
        self._clock = clock
        self._token = ""
        self._expires_at = 0.0
        try:
            _mint(secret, user_id=user_id, expires_at=0)
        except jwt.PyJWTError as error:
            raise SettingsError(f"no JWT can be signed with this secret: {error}") from error

    def token(self) -> str:
        """Give the JWT to send, a new one when the last has little time left."""
        now = self._clock()
        # A clock that was set back leaves a JWT with too much time: mint that one again too.
        if not RENEW_SECONDS <= self._expires_at - now <= LIFETIME_SECONDS:
            self._mint(now)
        return self._token

    def renewed(self, rejected: str) -> str:
        """Give another JWT than the rejected one; many calls that were rejected share it."""
        if self._token == rejected:
            self._mint(self._clock())
        return self._token

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self._secret, self._token) if self._token else (self._secret,)

    def _mint(self, now: float) -> None:
        self._expires_at = now + LIFETIME_SECONDS
        self._token = _mint(self._secret, user_id=self._user_id, expires_at=int(self._expires_at))


def _mint(secret: str, *, user_id: str, expires_at: int) -> str:
    with warnings.catch_warnings():
        # The order system chose the secret: its length is not ours to complain about.
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        return jwt.encode({"user_id": user_id, "exp": expires_at}, secret, algorithm="HS256")
