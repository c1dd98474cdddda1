"""Opening: settings become the resources that daemon and commands share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stocksync import settings
from stocksync.database import Database
from stocksync.telegram import Telegram
from stocksync.telemetry import hide
from stocksync.verdict import Limits

if TYPE_CHECKING:
    from stocksync.gateway import Gateway


def open_database(
    group: settings.Database,
    *,
    max_connections: int = 1,
    command_seconds: float | None = None,
    rehearsal: Sequence[str] = (),
) -> Database:
    """The database of these settings; its password appears in no log line from now on."""
    url = group.database_url.get_secret_value()
    hide(url)
    hide(group.listen_url.get_secret_value())
    return Database(
        url=url,
        schema=group.database_schema,
        is_pgbouncer=group.database_pgbouncer,
        max_connections=max_connections,
        command_seconds=command_seconds,
        rehearsal=rehearsal,
    )


def open_gateway(group: settings.Service, *, database: Database, concurrency: int = 1) -> "Gateway":
    """The microservice of these settings; its secrets appear in no log line from now on."""
    # Not at the top: httpx takes 0.1 s, and most commands do without.
    from stocksync.gateway import (  # noqa: PLC0415 - the line above
        Gateway,
        GivenToken,
        MintedToken,
    )

    credentials: GivenToken | MintedToken
    if group.microservice_jwt_secret is not None and group.microservice_jwt_user_id is not None:
        secret = group.microservice_jwt_secret.get_secret_value()
        hide(secret)
        credentials = MintedToken(
            secret=secret, user_id=group.microservice_jwt_user_id, clock=database.clock.now
        )
    else:
        assert group.microservice_jwt is not None  # noqa: S101 - the settings require one or other
        jwt = group.microservice_jwt.get_secret_value()
        hide(jwt)
        credentials = GivenToken(jwt)
    return Gateway(
        base_url=group.microservice_url,
        credentials=credentials,
        timeout_seconds=group.microservice_timeout_seconds,
        concurrency=concurrency,
        clock=database.clock.now,
    )


def open_telegram(group: settings.Telegram) -> Telegram | None:
    """The bot of these settings, or None where there is no token; its token is in no log line.

    It takes seconds: the library is large.
    """
    if group.telegram_bot_token is None:
        return None
    return Telegram(
        token=group.telegram_bot_token.get_secret_value(), api_url=group.telegram_api_url
    )


def limits_of(loaded: settings.Loaded) -> Limits:
    """What is still usual, from the groups Relay and Monitoring."""
    monitoring = loaded[settings.Monitoring]
    return Limits(
        lease_seconds=loaded[settings.Relay].lease_seconds,
        max_pending=monitoring.monitoring_max_pending_operations,
        stale_hours=monitoring.monitoring_stale_operation_hours,
        failure_rate_threshold=monitoring.monitoring_failure_rate_threshold,
        failure_rate_window_minutes=monitoring.monitoring_failure_rate_window_minutes,
    )
