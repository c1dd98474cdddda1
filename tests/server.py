"""The tests' Postgres: one server a session, one database a test, copied from a template."""

import asyncio
import os
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import asyncpg

from stocksync.demo.postgres import PostgresServer

T = TypeVar("T")

DSN_VARIABLE = "STOCKSYNC_TEST_DSN"
ANSWER_SECONDS = 60.0


class DatabaseServer:
    """Makes and drops databases on a server; blocking, to be used inside and outside of a loop.

    It has a loop and a connection of its own: a test's loop comes and goes, this one stays.
    The names begin with something unique, so that runs can share a server.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._prefix = f"stocksync_test_{secrets.token_hex(4)}"
        self._numbers = count(1)
        self._alive: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="test databases", daemon=True
        )
        self._thread.start()
        try:
            self._connection: asyncpg.Connection[asyncpg.Record] = self._wait_for(
                asyncpg.connect(dsn, timeout=ANSWER_SECONDS, command_timeout=ANSWER_SECONDS)
            )
        except BaseException:
            self._end_loop()
            raise

    @property
    def major(self) -> int:
        """The server's major version."""
        return int(self._connection.get_server_version().major)

    def create_template(self, fill: Callable[[str], None]) -> str:
        """Make a database, let `fill` migrate it by its DSN, lock it; give its name.

        `fill` must have closed its connections when it returns.
        """
        dsn = self.create_database()
        fill(dsn)
        name = self._alive[-1]
        # A connection to the template, autovacuum's aside, would make copying fail.
        self._execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        return name

    def create_database(self, template: str = "template0") -> str:
        """Make a database as a copy of the template; give its DSN."""
        name = f"{self._prefix}_{next(self._numbers)}"
        # Copying files takes 6 ms, writing the copy to the WAL ten times as long.
        strategy = " STRATEGY FILE_COPY" if self.major >= 15 else ""
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}{strategy}")
        self._alive.append(name)
        return dsn_of(self.dsn, database=name)

    def drop_database(self, dsn: str) -> None:
        """Drop a database that create_database made, whoever is connected to it."""
        name = next(name for name in self._alive if dsn == dsn_of(self.dsn, database=name))
        self._drop(name)

    def close(self) -> None:
        """Drop what is left and hang up."""
        try:
            for name in reversed(self._alive.copy()):
                self._drop(name)
            self._wait_for(self._connection.close(timeout=ANSWER_SECONDS))
        finally:
            self._end_loop()

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._alive.remove(name)

    def _execute(self, statement: str) -> None:
        self._wait_for(self._connection.execute(statement))

    def _wait_for(self, answer: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result(2 * ANSWER_SECONDS)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def database_server() -> Iterator[DatabaseServer]:
    """Give the server that STOCKSYNC_TEST_DSN names, or one of our own for as long as this lasts.

    Ours ends with the thread that entered here.
    """
    named = os.environ.get(DSN_VARIABLE, "")
    if named:
        yield from _opened(named)
    else:
        with PostgresServer(durable=False, settings={"max_connections": "200"}) as postgres:
            yield from _opened(postgres.dsn())


def _opened(dsn: str) -> Iterator[DatabaseServer]:
    server = DatabaseServer(dsn)
    try:
        yield server
    finally:
        server.close()


def dsn_of(dsn: str, *, database: str) -> str:
    """Give the DSN of another database on the same server; sockets and several hosts included."""
    return re.sub(r"^(\w+://[^/?]*)(/[^?]*)?", rf"\1/{database}", dsn)
