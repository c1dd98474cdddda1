"""The verbs: each asks for the settings it uses, does one thing, and shows what came of it."""

import asyncio
import getpass
import os
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from stocksync import schema, settings, telemetry
from stocksync.circuits import SERVICE, Circuits
from stocksync.cli import documents, texts, texts_of_circuits, texts_of_order, texts_of_status
from stocksync.cli.documents import ServiceFlag
from stocksync.daemon import Daemon, open_database, open_gateway
from stocksync.database import Database
from stocksync.gateway import Gateway
from stocksync.model import ServiceUnavailable, SettingsError, Status, StocksyncError
from stocksync.operations import Operations, Order

# A person who looks at a terminal begins to wonder after so long.
QUIET_SECONDS = 1.0


def perform(arguments: Namespace) -> int:
    """Do what the arguments say; gives the exit code."""
    if arguments.verb == "demo":
        return _demo(arguments)
    asyncio.run(_VERBS[arguments.verb](arguments))
    return 0


async def _run(arguments: Namespace) -> None:
    database, service, relay, retry, log = settings.load(
        settings.Database,
        settings.Service,
        settings.Relay,
        settings.Retry,
        settings.Log,
        env_file=arguments.env_file,
    )
    telemetry.configure(log.log_level, log.log_format)
    daemon = Daemon(database=database, service=service, relay=relay, retry=retry)
    await daemon.run(is_migrating=arguments.migrate)


async def _migrate(arguments: Namespace) -> None:
    async with _opened(arguments) as database:
        applied = await schema.migrate(database, is_dry_run=arguments.dry_run)
        keys = []
        if arguments.with_foreign_keys:
            keys = await schema.add_foreign_keys(database, is_dry_run=arguments.dry_run)
    document = documents.migration(applied, keys, is_dry_run=arguments.dry_run)
    _show(arguments, document, lambda: texts.migration(document))


async def _status(arguments: Namespace) -> None:
    # Together: what is wrong with either is said at once.
    _, relay = settings.load(settings.Database, settings.Relay, env_file=arguments.env_file)
    async with _outbox(arguments) as operations:
        standing = await operations.status(lease_seconds=relay.lease_seconds)
    _show(arguments, documents.standing(standing), lambda: texts_of_status.standing(standing))


async def _list(arguments: Namespace) -> None:
    max_retries = _max_retries(arguments)
    async with _outbox(arguments) as operations:
        page = await operations.list_operations(
            status=arguments.status and Status(arguments.status),
            token_id=arguments.token,
            order_id=arguments.order,
            limit=arguments.limit,
            offset=arguments.offset,
        )
    _show(arguments, documents.page(page), lambda: texts.page(page, max_retries=max_retries))


async def _show_one(arguments: Namespace) -> None:
    if arguments.order is not None:
        await _show_order(arguments)
        return
    max_retries = _max_retries(arguments)
    async with _outbox(arguments) as operations:
        story = await operations.show(arguments.id)
    _show(arguments, documents.story(story), lambda: texts.story(story, max_retries=max_retries))


async def _show_order(arguments: Namespace) -> None:
    max_retries = _max_retries(arguments)
    async with _verified(arguments) as database:
        orders = await Operations(database=database).show_order(arguments.order, arguments.token)
        database.clock.set(orders[0].now.timestamp())
        flags = await _flags_at_service(arguments, database, orders)
    _show(
        arguments,
        documents.orders(orders, flags),
        lambda: texts_of_order.orders(orders, flags, max_retries=max_retries),
    )


async def _retry(arguments: Namespace) -> None:
    async with _outbox(arguments) as operations:
        ids = await operations.retry(arguments.ids, by=_whose_hand())
    _show(arguments, documents.changed(ids), lambda: texts.retried(ids))


async def _cancel(arguments: Namespace) -> None:
    async with _outbox(arguments) as operations:
        ids = await operations.cancel(arguments.ids, by=_whose_hand(), reason=arguments.reason)
    _show(arguments, documents.changed(ids), lambda: texts.cancelled(ids))


async def _pause(arguments: Namespace) -> None:
    token_id, by = arguments.token or SERVICE, _whose_hand()
    async with _verified(arguments) as database:
        circuits = Circuits(database=database)
        until = await circuits.pause(token_id=token_id, minutes=arguments.minutes, by=by)
    _show(
        arguments,
        documents.paused(token_id=token_id, until=until, by=by),
        lambda: texts_of_circuits.paused(
            until, token_id=token_id, minutes=arguments.minutes, by=by
        ),
    )


async def _resume(arguments: Namespace) -> None:
    token_id = arguments.token or SERVICE
    async with _verified(arguments) as database:
        circuits = Circuits(database=database)
        was_paused = await circuits.resume(token_id=token_id)
        still = [circuit for circuit in await circuits.held() if circuit.is_paused]
    _show(
        arguments,
        documents.resumed(token_id=token_id, was_paused=was_paused, still=still),
        lambda: texts_of_circuits.resumed(token_id=token_id, was_paused=was_paused, still=still),
    )


def _demo(arguments: Namespace) -> int:
    try:
        from stocksync.demo.run import run_demo  # noqa: PLC0415 - it needs the extra [demo]

        return run_demo(
            postgres=arguments.postgres, orders=arguments.orders, as_json=arguments.json
        )
    except ModuleNotFoundError as error:
        package = (error.name or "stocksync").partition(".")[0]
        if package == "stocksync":
            raise
        raise StocksyncError(
            f"the demo needs {package}, which is not installed: pip install 'stocksync[demo]'"
        ) from error


_VERBS: dict[str, Callable[[Namespace], Coroutine[Any, Any, None]]] = {
    "run": _run,
    "migrate": _migrate,
    "status": _status,
    "list": _list,
    "show": _show_one,
    "retry": _retry,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
}


@asynccontextmanager
async def _opened(arguments: Namespace) -> AsyncIterator[Database]:
    [group] = settings.load(settings.Database, env_file=arguments.env_file)
    # What goes wrong is said once, by the command itself.
    telemetry.configure("error")
    # A connection that Ctrl-C breaks off complains about itself to the loop.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with open_database(group) as database:
        yield database


@asynccontextmanager
async def _verified(arguments: Namespace) -> AsyncIterator[Database]:
    async with _opened(arguments) as database:
        await schema.verify(database)
        yield database


@asynccontextmanager
async def _outbox(arguments: Namespace) -> AsyncIterator[Operations]:
    async with _verified(arguments) as database:
        yield Operations(database=database)


def _max_retries(arguments: Namespace) -> int:
    """The daemon's limit, as far as this shell's settings are the daemon's."""
    # Together: what is wrong with either is said at once.
    _, retry = settings.load(settings.Database, settings.Retry, env_file=arguments.env_file)
    return retry.retry_max_attempts


async def _flags_at_service(
    arguments: Namespace, database: Database, orders: Sequence[Order]
) -> list[ServiceFlag]:
    """Ask the microservice; on-call sees the rows also when it cannot be asked, or is silent."""
    try:
        [group] = settings.load(settings.Service, env_file=arguments.env_file)
        gateway = open_gateway(group, database=database)
    except SettingsError as error:
        return [ServiceFlag(flag=None, why_not=f"not asked: {error}") for _ in orders]
    async with gateway:
        asking = asyncio.gather(*(_flag_at_service(gateway, order) for order in orders))
        await asyncio.wait([asking], timeout=QUIET_SECONDS)
        if not asking.done() and sys.stderr.isatty():
            sys.stderr.write(
                f"asking {gateway.base_url}, for {group.microservice_timeout_seconds} s at most …\n"
            )
        return await asking


async def _flag_at_service(gateway: Gateway, order: Order) -> ServiceFlag:
    try:
        flag = await gateway.read_flag(token_id=order.token_id, order_id=order.order_id)
    except ServiceUnavailable as error:
        return ServiceFlag(flag=None, why_not=f"no answer: {error}")
    return ServiceFlag(flag=flag, why_not=None)


def _whose_hand() -> str:
    """The person, for the history: behind sudo, whoever called it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _show(arguments: Namespace, document: dict[str, Any], text: Callable[[], str]) -> None:
    sys.stdout.write((documents.written(document) if arguments.json else text()) + "\n")
