"""Procrastinate's worker, with a connection for each slot; `install` makes its tables."""

import logging
import sys

import uvloop
from procrastinate import App, PsycopgConnector

from tests.bench.peers.calling import CONCURRENCY, DSN, pushing


async def main() -> None:
    """Push what comes until SIGTERM, or make the tables."""
    # Its own lines about each row would be a cost that a production setting spares.
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    app = App(connector=PsycopgConnector(conninfo=DSN, min_size=2, max_size=CONCURRENCY + 2))
    async with pushing() as push:

        async def push_order(order_id: str) -> None:
            await push(order_id)

        app.task(name="push")(push_order)
        async with app.open_async():
            if sys.argv[1:] == ["install"]:
                await app.schema_manager.apply_schema_async()
            else:
                await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    uvloop.run(main())
