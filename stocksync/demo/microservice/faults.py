"""What can be wrong with the microservice: which calls a fault takes, and what it does to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from stocksync.demo.microservice.calls import Call


class Delivery(StrEnum):
    """How an answer gets to the caller."""

    WHOLE = "whole"
    RESET = "reset"
    """Not at all: the connection is reset."""
    HALF = "half"
    """Headers and half of the body, then a reset."""
    DRIP = "drip"
    """A byte at a time, ever so slowly."""
    ENDLESS = "endless"
    """A body that does not stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The calls that a fault takes: those that agree with all that is named here.

    `route`: `stock_status`, `technical_flags`, `summary`, `orders`, `order`, `tokens`, `health`.
    """

    route: str | None = None
    token_id: str | None = None
    order_id: str | None = None

    def takes(self, call: Call) -> bool:
        """Say whether the call is one of them."""
        return (
            self.route in (None, call.route)
            and self.token_id in (None, call.token_id)
            and self.order_id in (None, call.order_id)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happens to such a call, in this order: silence, the work or not, the answer.

    An effect that says nothing is the service as it is.
    """

    hang_seconds: float = 0.0
    """Silence before anything else; lifting the fault ends it at once."""
    is_applied: bool = False
    """The service does its work in spite of the `status` that is answered."""
    status: int | None = None
    """Answer this, with `content` and `headers`; None: do the work and answer as always."""
    content: Any = None
    """A string is plain text, anything else JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside the usual ones; also when `status` is None."""
    delivery: Delivery = Delivery.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An effect on some calls: on all of them, or on the `first` so many."""

    effect: Effect
    matches: Matches = Matches()
    first: int | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read one as the control route gets it: the same names, nested. TypeError for others."""
        effect = dict(content.get("effect", {}))
        effect["delivery"] = Delivery(effect.get("delivery", Delivery.WHOLE))
        rest = {k: v for k, v in content.items() if k not in ("effect", "matches")}
        return cls(effect=Effect(**effect), matches=Matches(**content.get("matches", {})), **rest)
