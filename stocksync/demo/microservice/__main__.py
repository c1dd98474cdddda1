"""`python -m stocksync.demo.microservice`: the stand-in as a process of its own.

It prints one JSON line, `{"url": …, "control_url": …}`, once it listens. It ends at SIGTERM or
SIGINT, and when its standard input is a pipe that closes: so it cannot outlive who started it.
"""

import argparse
import asyncio
import json
import os
import signal
import stat
import sys

from stocksync.demo.microservice import Control, Microservice, StandIn


def main() -> None:
    """Read the command line and serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m stocksync.demo.microservice")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--control-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--secret", default="stand-in", help="what JWTs are signed with")
    parser.add_argument("--account", action="append", default=[], metavar="TOKEN_ID=USER_ID")
    parser.add_argument("--service-seconds", type=float, default=0.0, help="work on each call")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    accounts = dict(pair.split("=", 1) for pair in arguments.account)
    stand_in = StandIn(
        Microservice(secret=arguments.secret, accounts=accounts),
        service_seconds=arguments.service_seconds,
    )
    control = Control(stand_in)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        # Nothing is ever written to it: readable means closed.
        loop.add_reader(sys.stdin.fileno(), ended.set)
    await stand_in.start(port=arguments.port)
    await control.start(port=arguments.control_port)
    print(json.dumps({"url": stand_in.url, "control_url": control.url}), flush=True)
    await ended.wait()
    await stand_in.aclose()
    await control.aclose()


if __name__ == "__main__":
    main()
