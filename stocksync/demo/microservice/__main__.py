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
from uuid import UUID

from stocksync.demo.microservice import Control, Microservice, StandIn

_DESCRIPTION = """\
A microservice to try stocksync against, on this machine alone (127.0.0.1). It answers as the real
one does, with its quirks: one request at a time, 200 for orders that it does not know, the same 404
for an unknown account and for a database that is away. It keeps its flags in memory."""
_EPILOG = """\
Once it listens it prints one JSON line with its url and its control_url. The control answers GET
with what it saw and holds, and takes POSTs that break it, for instance:
  curl -d '{"listening": false}' CONTROL_URL      connections are refused, until true
  curl -d '{"database": "disconnected"}' CONTROL_URL      until "connected"
  curl -d '{"inject": [{"effect": {"status": 503}}]}' CONTROL_URL
  curl -d '{"inject": [{"effect": {"status": 422, "content": {"detail": "too many"}},
                        "matches": {"order_id": "ORDER-1"}, "first": 3}]}' CONTROL_URL
  curl -d '{"lift": true}' CONTROL_URL      takes back all that was injected
  curl -d '{"accounts": {"TOKEN_ID": "USER_ID"}}' CONTROL_URL      knows one more
It ends at Ctrl-C or SIGTERM, and when its standard input is a pipe that closes."""


def main() -> None:
    """Read the command line and serve until told to end."""
    parser = argparse.ArgumentParser(
        prog="python -m stocksync.demo.microservice",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="where it serves (0, the default: any free one)"
    )
    parser.add_argument(
        "--control-port", type=_port, default=0, help="where it is controlled (the same)"
    )
    parser.add_argument(
        "--secret", default="stand-in", help="what JWTs are signed with (default: %(default)s)"
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        type=_account,
        metavar="TOKEN_ID=USER_ID",
        help="an account that it knows: its token, a UUID, and the JWT's user_id; may be repeated",
    )
    parser.add_argument(
        "--service-seconds",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long it works on each call (default: 0)",
    )
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(arguments))
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error.strerror or error}\n")


async def _serve(arguments: argparse.Namespace) -> None:
    stand_in = StandIn(
        Microservice(secret=arguments.secret, accounts=dict(arguments.account)),
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
    try:
        await stand_in.start(port=arguments.port)
        await control.start(port=arguments.control_port)
        print(json.dumps({"url": stand_in.url, "control_url": control.url}), flush=True)
        await ended.wait()
    finally:
        await stand_in.aclose()
        await control.aclose()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:  # noqa: PLR2004 - the largest there is
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _account(text: str) -> tuple[str, str]:
    token_id, _, user_id = text.partition("=")
    try:
        token_id = str(UUID(token_id))
    except ValueError:
        token_id = ""
    if not token_id or not user_id:
        raise argparse.ArgumentTypeError(f"{text!r} is not TOKEN_ID=USER_ID with a UUID as token")
    return token_id, user_id


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 3600:  # noqa: PLR2004 - longer than anybody waits
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


if __name__ == "__main__":
    main()
