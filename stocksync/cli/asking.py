"""The verbs `list` and `show`: operations, one's story, and how an order stands."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stocksync import settings
from stocksync.cli import documents, texts, texts_of_order
from stocksync.cli.documents import ServiceFlag
from stocksync.cli.session import outbox, show, verified
from stocksync.daemon.opening import open_gateway
from stocksync.database import Database
from stocksync.model import ServiceUnavailable, SettingsError, Status
from stocksync.operations import Operations, Order

if TYPE_CHECKING:
    # A list does not wait for the microservice's client.
    from stocksync.gateway import Gateway

# A person who looks at a terminal begins to wonder after so long.
QUIET_SECONDS = 1.0


async def list_operations(arguments: Namespace) -> None:
    """Show a page of operations."""
    max_retries = _max_retries(arguments)
    async with outbox(arguments) as operations:
        page = await operations.list_operations(
            status=arguments.status and Status(arguments.status),
            token_id=arguments.token,
            order_id=arguments.order,
            limit=arguments.limit,
            offset=arguments.offset,
        )
    show(arguments, documents.page(page), lambda: texts.page(page, max_retries=max_retries))


async def show_one(arguments: Namespace) -> None:
    """Show an operation's story, or (--order) how an order stands."""
    if arguments.order is not None:
        await _show_order(arguments)
        return
    max_retries = _max_retries(arguments)
    async with outbox(arguments) as operations:
        story = await operations.show(arguments.id)
    show(arguments, documents.story(story), lambda: texts.story(story, max_retries=max_retries))


async def _show_order(arguments: Namespace) -> None:
    max_retries = _max_retries(arguments)
    async with verified(arguments) as database:
        orders = await Operations(database=database).show_order(arguments.order, arguments.token)
        database.clock.set(orders[0].now.timestamp())
        flags = await _flags_at_service(arguments, database, orders)
    show(
        arguments,
        documents.orders(orders, flags),
        lambda: texts_of_order.orders(orders, flags, max_retries=max_retries),
    )


def _max_retries(arguments: Namespace) -> int:
    """The daemon's limit, as far as this shell's settings are the daemon's."""
    # Together: what is wrong with either is said at once.
    loaded = settings.load(settings.Database, settings.Retry, env_file=arguments.env_file)
    return loaded[settings.Retry].retry_max_attempts


async def _flags_at_service(
    arguments: Namespace, database: Database, orders: Sequence[Order]
) -> list[ServiceFlag]:
    """Ask the microservice; on-call sees the rows also when it cannot be asked, or is silent."""
    try:
        group = settings.load(settings.Service, env_file=arguments.env_file)[settings.Service]
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


async def _flag_at_service(gateway: "Gateway", order: Order) -> ServiceFlag:
    try:
        flag = await gateway.read_flag(token_id=order.token_id, order_id=order.order_id)
    except ServiceUnavailable as error:
        return ServiceFlag(flag=None, why_not=f"no answer: {error}")
    return ServiceFlag(flag=flag, why_not=None)
