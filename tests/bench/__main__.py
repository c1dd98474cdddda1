"""The command: `python -m tests.bench`; see README, "Speed"."""

import argparse
import asyncio
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.bench.measures import MEASURES
from tests.bench.peers_venv import Peers, installed_peers
from tests.bench.postgres import running_postgres
from tests.bench.processes import Ended
from tests.bench.report import Report
from tests.bench.world import NotVerified, World, running_service


def main() -> int:
    """Measure, tell, and write down; 1: a run did not do its work."""
    arguments = _arguments()
    # In order, like Ctrl-C: nothing that was started stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = arguments.only.split(",") if arguments.only else list(MEASURES)
    with ExitStack() as stack:
        peers = None
        if arguments.peers:
            peers = Peers(arguments.peers)
        elif not arguments.quick:
            peers = stack.enter_context(installed_peers())
        postgres = stack.enter_context(running_postgres())
        if peers:
            peers.prepare(postgres)
        service = stack.enter_context(running_service(peers.python if peers else sys.executable))
        world = World(
            postgres=postgres,
            service=service,
            peers=peers,
            rounds=arguments.rounds or (1 if arguments.quick else 3),
            is_quick=arguments.quick,
            is_large=arguments.large,
        )
        report = Report.begun(world)
        for name in wanted:
            try:
                report.add(asyncio.run(MEASURES[name](world)))
            except (NotVerified, Ended, TimeoutError) as error:
                report.fail(name, error)
        report.finish()
    sys.stdout.write(report.text())
    report.write(arguments.output)
    return 1 if report.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, small, without peers")
    parser.add_argument("--large", action="store_true", help="with a million and five million rows")
    parser.add_argument("--only", metavar="P1,P4", help="these measures alone")
    parser.add_argument("--rounds", type=int, help="of each measure (3, quick: 1)")
    parser.add_argument("--peers", type=Path, help="an environment that holds the peers already")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench"), help="folder (build/bench)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
