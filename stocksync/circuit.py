"""Circuits: when to stop pushing, to everybody or for one account, and when to go on. Pure.

Fed with what pushes brought, in order; shared by all daemons through the database, as JSON.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self, assert_never

from stocksync.model import Cause, Done, Outcome, Push, Refused, Retry, value

# More than half of the last so many pushes of different orders failed: a service that flaps.
RECENT = 20
# Orders, and refusals, that a circuit remembers: far more than open it.
LONGEST_MEMORY = 100
# How the reason begins when the service does not take the key.
CREDENTIALS = "credentials: "


class Kind(StrEnum):
    """What a push says about the service and the account."""

    PROVEN = "proven"
    REFUSED = "refused"
    """422: the service is at work, though its database may be away."""
    CREDENTIALS = "credentials"
    TOKEN = "token"  # noqa: S105 - the account's token, not a password
    FAILED = "failed"


@value
class Seen:
    """One push, as a circuit sees it."""

    account: str
    order: str
    kind: Kind
    reason: str = ""


def seen(push: Push, outcome: Outcome) -> Seen:
    """What `outcome` says."""
    match outcome:
        case Done():
            kind, reason = Kind.PROVEN, ""
        case Refused():
            kind, reason = Kind.REFUSED, outcome.reason
        case Retry(cause=Cause.CREDENTIALS):
            kind, reason = Kind.CREDENTIALS, outcome.reason
        case Retry(cause=Cause.TOKEN):
            kind, reason = Kind.TOKEN, outcome.reason
        case Retry():
            kind, reason = Kind.FAILED, outcome.reason
        case _:
            assert_never(outcome)
    return Seen(account=push.token_id, order=push.order_id, kind=kind, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCircuit:
    """The service's: open means that nothing is pushed but probes."""

    reason: str | None = None
    """Why it is open; None: it is closed."""
    has_proven: bool = False
    """Something was proven before, ever."""
    in_a_row: int = 0
    """Failures since the last proof, of whichever order."""
    failed: tuple[tuple[str, str], ...] = ()
    """(account, order) that failed since the last proof, each once, but not for the token."""
    unknown: tuple[tuple[str, str], ...] = ()
    """(account, order) whose token was refused since the last proof, each once."""
    recent: tuple[tuple[str, str, bool], ...] = ()
    """The last pushes of different orders, (account, order, proven). Kept only while there are
    failures among them: missing ones were proven."""

    @property
    def is_open(self) -> bool:
        """Nothing is pushed but probes."""
        return self.reason is not None

    @property
    def held_up(self) -> tuple[tuple[str, str], ...]:
        """(account, order) of the failures that opened it."""
        return (*self.failed, *self.unknown)

    @property
    def wants_health(self) -> bool:
        """A failure followed no success: ask the service how it is, and tell `told`."""
        return not self.is_open and self.in_a_row > (1 if self.has_proven else 0)

    @property
    def is_clean(self) -> bool:
        """Nothing is held against the service: a proof need not be written down."""
        return not (self.is_open or self.in_a_row or self.recent)

    def fed(self, push: Seen, *, failures: int) -> "ServiceCircuit":
        """The circuit after this push; `failures` is the setting CIRCUIT_FAILURES."""
        if push.kind is Kind.PROVEN:
            return ServiceCircuit(has_proven=True, recent=self._with(push))
        if push.kind is Kind.REFUSED:
            # At work; but with its database away it would say the same.
            return self if self.unknown else replace(self, reason=None, in_a_row=0, failed=())
        after = self._after_failure(push)
        if after.is_open:
            return after
        return replace(after, reason=_why_open(after, push, failures=failures))

    def told(self, *, is_healthy: bool | None, says: str) -> "ServiceCircuit":
        """The circuit after `GET /health` was asked (None: it said nothing)."""
        if self.wants_health and is_healthy is False:
            return replace(self, reason=f"/health: {says}")
        return self

    def _after_failure(self, push: Seen) -> "ServiceCircuit":
        key = (push.account, push.order)
        if push.kind is Kind.TOKEN:
            return replace(
                self,
                in_a_row=self.in_a_row + 1,
                unknown=_remembered(self.unknown, key),
            )
        return replace(
            self,
            in_a_row=self.in_a_row + 1,
            failed=_remembered(self.failed, key),
            recent=self._with(push),
        )

    @property
    def knows_nobody(self) -> bool:
        """Two or more accounts were tried since the last proof, and all were unknown to it."""
        unknown = {account for account, _ in self.unknown}
        return len(unknown) > 1 and unknown >= {account for account, _ in self.failed}

    def _with(self, push: Seen) -> tuple[tuple[str, str, bool], ...]:
        others = (r for r in self.recent if r[:2] != (push.account, push.order))
        recent = (*others, (push.account, push.order, push.kind is Kind.PROVEN))[-RECENT:]
        return recent if not all(proven for *_, proven in recent) else ()

    def to_json(self) -> dict[str, Any]:
        """For the database."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """From the database."""
        tuples = {
            name: tuple(tuple(each) for each in values.get(name, ()))
            for name in ("failed", "unknown", "recent")
        }
        return cls(**(values | tuples))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCircuit:
    """One account's: open means that it is parked, and nothing of it is pushed but probes."""

    reason: str | None = None
    refusals: int = 0
    """How often its token was refused since something of it was proven."""
    unknown: tuple[tuple[str, str], ...] = ()
    """(account, order) of these, each once."""

    @property
    def is_open(self) -> bool:
        """The account is parked."""
        return self.reason is not None

    @property
    def held_up(self) -> tuple[tuple[str, str], ...]:
        """(account, order) of the failures that opened it."""
        return self.unknown

    @property
    def is_clean(self) -> bool:
        """Nothing is held against the account."""
        return not (self.is_open or self.refusals)

    def fed(self, push: Seen, *, failures: int) -> "AccountCircuit":
        """The circuit after this push of the account."""
        match push.kind:
            case Kind.PROVEN:
                return AccountCircuit()
            case Kind.TOKEN:
                refusals = self.refusals + 1
                reason = push.reason if refusals >= failures else self.reason
                return AccountCircuit(
                    reason=reason,
                    refusals=min(refusals, LONGEST_MEMORY),
                    unknown=_remembered(self.unknown, (push.account, push.order)),
                )
            case _:
                return self

    def to_json(self) -> dict[str, Any]:
        """For the database."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """From the database."""
        return cls(**(values | {"unknown": tuple(map(tuple, values.get("unknown", ())))}))


def _why_open(circuit: ServiceCircuit, push: Seen, *, failures: int) -> str | None:
    if push.kind is Kind.CREDENTIALS:
        return f"{CREDENTIALS}{push.reason}"
    if circuit.knows_nobody and len({*circuit.failed, *circuit.unknown}) >= failures:
        return f"no account is known to it any more: {push.reason}"
    if len(circuit.failed) >= failures:
        return push.reason
    lost = sum(not proven for *_, proven in circuit.recent)
    if 2 * lost > RECENT:
        return f"more than half of the last {RECENT} pushes failed: {push.reason}"
    return None


def _remembered(
    keys: tuple[tuple[str, str], ...], key: tuple[str, str]
) -> tuple[tuple[str, str], ...]:
    return (*(each for each in keys if each != key), key)[-LONGEST_MEMORY:]
