"""Groups of the work: each setting by its name, its rule, its default and what it is for."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from stocksync.settings.group import PREFIX, Group
from stocksync.settings.rules import (
    Days,
    Flag,
    Hours,
    Minutes,
    Seconds,
    bare_jwt,
    rule,
    whole,
)
from stocksync.settings.urls import checked_database_url, service_base_url

_SchemaName = Annotated[
    str,
    rule(
        "must be 1 to 40 of a-z, 0-9 and _, not begin with a digit, and not with pg_",
        re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,39}").fullmatch,
    ),
]
_SCHEMA_MEANS = "the schema of our tables"


class Database(Group):
    """The way to Postgres."""

    database_url: Annotated[SecretStr, AfterValidator(checked_database_url)] = Field(
        description="`postgresql://` URL; several hosts and socket directories are allowed"
    )
    database_listen_url: Annotated[SecretStr, AfterValidator(checked_database_url)] | None = Field(
        default=None,
        description="direct connection for LISTEN, when DATABASE_URL goes through a pooler; "
        "unset: DATABASE_URL",
    )
    database_schema: _SchemaName = Field(default="public", description=_SCHEMA_MEANS)
    database_pgbouncer: Flag = Field(
        default=False,
        description="transaction pooling: no prepared statements, no session state",
    )

    @property
    def listen_url(self) -> SecretStr:
        """Where to LISTEN."""
        return self.database_listen_url or self.database_url


class Schema(Group):
    """Where our tables are, for commands that only print."""

    database_schema: _SchemaName = Field(default="public", description=_SCHEMA_MEANS)


class Service(Group):
    """The way to the microservice."""

    microservice_url: Annotated[str, AfterValidator(service_base_url)] = Field(
        description="also ALLEGRO_MICROSERVICE_BASE_URL; a trailing `/` or `/api/v1` is accepted"
    )
    microservice_jwt: Annotated[SecretStr, AfterValidator(bare_jwt)] | None = Field(
        default=None,
        description="a ready JWT, with or without `Bearer`; also ALLEGRO_MICROSERVICE_JWT_TOKEN; "
        "passed over where there is a secret",
    )
    microservice_jwt_secret: SecretStr | None = Field(
        default=None, description="mints short-lived HS256 JWTs, together with the user id"
    )
    microservice_jwt_user_id: str | None = Field(
        default=None, description="the claim `user_id` of the minted JWTs"
    )
    microservice_timeout_seconds: Seconds = Field(default=10, description="a whole call")

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        jwt, secret, user_id = (
            f"{PREFIX}MICROSERVICE_{name}" for name in ("JWT", "JWT_SECRET", "JWT_USER_ID")
        )
        if self.microservice_jwt_secret is not None:
            if self.microservice_jwt_user_id is None:
                raise ValueError(f"{user_id}: is required with {secret}")
        elif self.microservice_jwt is None:
            raise ValueError(f"{jwt}: is required, or {secret} together with {user_id}")
        return self


class Relay(Group):
    """How much at once, and for how long."""

    concurrency: Annotated[int, whole(1, 256)] = Field(default=8, description="pushes in flight")
    claim_batch_size: Annotated[int, whole(1, 10_000)] = Field(
        default=100, description="orders in one claim"
    )
    lease_seconds: Seconds = Field(
        default=60, description="at least twice MICROSERVICE_TIMEOUT_SECONDS"
    )
    circuit_failures: Annotated[int, whole(1, 1000)] = Field(
        default=5, description="failures of different orders that open a circuit"
    )
    poll_interval_seconds: Seconds = Field(
        default=1, description="how often to look for due orders without being woken"
    )
    shutdown_grace_seconds: Seconds = Field(
        default=25, description="how long a stopping daemon finishes what is in flight"
    )


class Retry(Group):
    """When a failed operation is tried again."""

    retry_max_attempts: Annotated[int, whole(-1, 2**31 - 1, "; 0 is no retry, -1 is no limit")] = (
        Field(default=5, description="retries of an operation; 0: none, -1: no limit")
    )
    retry_initial_delay: Seconds = Field(default=60, description="seconds before the first retry")
    retry_max_delay: Seconds = Field(
        default=3600, description="seconds, the longest delay; may equal the first"
    )
    retry_exponential_base: Annotated[
        float, rule("must be a number from 1 to 100", lambda base: 1 <= base <= 100)  # noqa: PLR2004 - the rule says it
    ] = Field(default=2.0, description="each delay is so many times the one before")
    retry_jitter: Flag = Field(
        default=True, description="draw each delay from its upper half, so that retries spread"
    )

    @model_validator(mode="after")
    def _delays_grow(self) -> Self:
        if self.retry_max_delay < self.retry_initial_delay:
            raise ValueError(
                f"{PREFIX}RETRY_MAX_DELAY ({self.retry_max_delay}) must be at least "
                f"{PREFIX}RETRY_INITIAL_DELAY ({self.retry_initial_delay})"
            )
        return self


class Reconciliation(Group):
    """When both sides are compared."""

    reconciliation_enabled: Flag = Field(
        default=True, description="false stops the timer, not the command"
    )
    reconciliation_interval_minutes: Minutes = Field(default=30, description="between two runs")
    reconciliation_batch_size: Annotated[int, whole(1, 10_000)] = Field(
        default=100, description="orders that a run reads at most"
    )
    reconciliation_auto_fix_threshold_hours: Hours = Field(
        default=24,
        description="a wrong flag of an order settled within is repaired; an older one is told",
    )


class Cleanup(Group):
    """What is deleted, and when."""

    cleanup_interval_hours: Hours = Field(default=24, description="between two runs")
    cleanup_completed_days: Days = Field(
        default=30, description="completed and cancelled rows are kept so long"
    )
    cleanup_failed_days: Days = Field(default=90, description="failed rows are kept so long")
    cleanup_balance_days: Days = Field(
        default=400, description="the balance of an order is kept so much longer than its rows"
    )


def relations(loaded: Iterable[Group]) -> Iterator[str]:
    """Hold groups that are there against each other."""
    by_type = {type(group): group for group in loaded}
    match by_type.get(Relay), by_type.get(Service):
        case Relay(lease_seconds=lease), Service(microservice_timeout_seconds=timeout):
            if lease < 2 * timeout:
                yield (
                    f"{PREFIX}LEASE_SECONDS ({lease}) must be at least twice "
                    f"{PREFIX}MICROSERVICE_TIMEOUT_SECONDS ({timeout})"
                )
