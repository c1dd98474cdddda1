"""Session: what every verb needs: its settings, an open outbox, whose hand it is, a way to show."""

import asyncio
import getpass
import os
import socket
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from stocksync import schema, settings, telemetry
from stocksync.cli import documents
from stocksync.daemon.opening import open_database
from stocksync.database import Database
from stocksync.operations import Operations


@asynccontextmanager
async def opened(arguments: Namespace) -> AsyncIterator[Database]:
    """The database of the settings, whatever tables it holds."""
    group = settings.load(settings.Database, env_file=arguments.env_file)[settings.Database]
    # What goes wrong is said once, by the command itself.
    telemetry.configure("error")
    # A connection that Ctrl-C breaks off complains about itself to the loop.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with open_database(group) as database:
        yield database


@asynccontextmanager
async def verified(arguments: Namespace) -> AsyncIterator[Database]:
    """The database of the settings, with the tables that this version knows."""
    async with opened(arguments) as database:
        await schema.verify(database)
        yield database


@asynccontextmanager
async def outbox(arguments: Namespace) -> AsyncIterator[Operations]:
    """The outbox, to ask about and to act on by hand."""
    async with verified(arguments) as database:
        yield Operations(database=database)


def whose_hand() -> str:
    """The person, for the history: behind sudo, whoever called it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def show(arguments: Namespace, document: dict[str, Any], text: Callable[[], str]) -> None:
    """Write the document with --json, otherwise the text."""
    sys.stdout.write((documents.written(document) if arguments.json else text()) + "\n")
