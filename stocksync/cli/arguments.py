"""The grammar of the command line. Imports nothing that takes time."""

from argparse import (
    SUPPRESS,
    ArgumentParser,
    Namespace,
)
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stocksync import __version__
from stocksync.cli import argument, words
from stocksync.cli.helping import HelpFormatter
from stocksync.model import Status

LONGEST_PAGE = 10_000
DEFAULT_PAGE = 50
# A year: whoever needs more has another word for it than pause.
LONGEST_PAUSE_MINUTES = 525_600
DEFAULT_PAUSE_MINUTES = 60
# A week: nobody remembers a longer one, and changes are not kept for ever.
LONGEST_MUTE_MINUTES = 10_080
DEFAULT_MUTE_MINUTES = 60
DEFAULT_DEMO_ORDERS = 200


class CommandLine(ArgumentParser):
    """argparse, with the few rules that it cannot express."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**settings)
        self._verbs: dict[str, ArgumentParser] = {}

    def parse_args(  # type: ignore[override] # the overloads are for other namespaces
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        """Parse, or exit with 2."""
        arguments = super().parse_args(args, namespace)
        if arguments.verb == "show":
            if (arguments.id is None) == (arguments.order is None):
                self._verbs["show"].error("give an operation's ID, or --order ORDER")
            if arguments.token is not None and arguments.order is None:
                self._verbs["show"].error("--token goes with --order")
        if arguments.verb in ("retry", "cancel"):
            if bool(arguments.ids) == arguments.failed:
                self._verbs[arguments.verb].error("give operations' IDs, or --failed")
            if arguments.ids and (arguments.token is not None or arguments.error is not None):
                self._verbs[arguments.verb].error("--token and --error go with --failed")
        if arguments.verb == "notify" and (arguments.text is None) == (arguments.failed is None):
            self._verbs["notify"].error("give TEXT, or --failed UNIT")
        if arguments.verb == "grants" and not (
            arguments.producer or arguments.daemon or arguments.reader
        ):
            self._verbs["grants"].error("give --producer, --daemon or --reader")
        if arguments.verb == "demo" and arguments.env_file is not None:
            self._verbs["demo"].error("--env-file: the demo takes no settings")
        return arguments

    def add_verbs(self) -> "AddVerb":
        """Let verbs be added, each with its help."""
        verbs = self.add_subparsers(dest="verb", metavar="COMMAND", parser_class=ArgumentParser)

        def add_verb(
            name: str, *, has_json: bool = True, has_settings: bool = True
        ) -> ArgumentParser:
            says = words.VERBS[name]
            verb = verbs.add_parser(
                name,
                help=says.summary,
                description=f"{says.summary}{says.more}",
                epilog=says.epilog,
                formatter_class=HelpFormatter,
                allow_abbrev=False,
            )
            if has_settings:
                # Also after the verb; not given there, what stood before it remains.
                _add_env_file(verb, default=SUPPRESS)
            if has_json:
                verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
            self._verbs[name] = verb
            return verb

        return add_verb


AddVerb = Callable[..., ArgumentParser]


def command_line() -> CommandLine:
    """The parser of everything that `stocksync` understands."""
    parser = CommandLine(
        prog="stocksync",
        description=words.DESCRIPTION,
        epilog=words.EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stocksync {__version__}")
    _add_env_file(parser, default=None)
    add_verb = parser.add_verbs()
    _add_daemon(add_verb)
    _add_questions(add_verb)
    _add_acts(add_verb)
    _add_maintenance(add_verb)
    _add_messaging(add_verb)
    _add_prints(add_verb)
    _add_demo(add_verb)
    return parser


def _add_env_file(parser: ArgumentParser, *, default: Any) -> None:  # noqa: ANN401 - None or argparse's mark
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        default=default,
        help="read settings from PATH where the environment has none",
    )


def _add_daemon(add_verb: AddVerb) -> None:
    run = add_verb("run", has_json=False)
    run.add_argument("--migrate", action="store_true", help="migrate first")
    migrate = add_verb("migrate")
    migrate.add_argument(
        "--dry-run", action="store_true", help="only say what would be applied; change nothing"
    )
    migrate.add_argument(
        "--with-foreign-keys",
        action="store_true",
        help="add keys to the order system's tables, where it has them",
    )


def _add_questions(add_verb: AddVerb) -> None:
    status = add_verb("status")
    status.add_argument(
        "--watch",
        action="store_true",
        help="look again every two seconds, until Ctrl-C; with --json a document a line",
    )
    listing = add_verb("list")
    listing.add_argument(
        "--status",
        choices=[str(status) for status in Status],
        metavar="STATUS",
        help=f"of this status only: {', '.join(Status)}",
    )
    _add_token(listing)
    listing.add_argument(
        "--order",
        type=argument.text,
        metavar="ORDER",
        help="of this order only; its id, case-sensitive",
    )
    listing.add_argument(
        "--limit",
        type=argument.whole(1, LONGEST_PAGE),
        default=DEFAULT_PAGE,
        metavar="N",
        help=f"at most so many, up to {LONGEST_PAGE} (default: %(default)s)",
    )
    listing.add_argument(
        "--offset",
        type=argument.whole(0, 10**12),
        default=0,
        metavar="N",
        help="pass over so many of the newest (default: %(default)s)",
    )
    show = add_verb("show")
    show.add_argument(
        "id",
        type=argument.operation_id,
        nargs="?",
        metavar="ID",
        help="an operation's id, as `list` has it",
    )
    show.add_argument(
        "--order",
        type=argument.text,
        metavar="ORDER",
        help="instead: an order's id, case-sensitive; its rows, its balance, its flag here and at "
        "the microservice (which makes a flag, false, when it has none for the order)",
    )
    _add_token(show)


def _add_acts(add_verb: AddVerb) -> None:
    for act in (add_verb("retry"), cancel := add_verb("cancel")):
        act.add_argument(
            "ids",
            type=argument.operation_id,
            nargs="*",
            metavar="ID",
            help="an operation's id, as `list` has it",
        )
        act.add_argument(
            "--failed", action="store_true", help="instead: all that failed, counted first"
        )
        _add_token(act)
        act.add_argument(
            "--error",
            type=argument.words,
            metavar="TEXT",
            help="of those that failed: whose error has TEXT in it, as it is written",
        )
        act.add_argument(
            "--yes", action="store_true", help="with --failed: do it; without, it is only counted"
        )
    cancel.add_argument(
        "--reason", type=argument.text, metavar="TEXT", help="for the operation's history"
    )


def _add_maintenance(add_verb: AddVerb) -> None:
    for act in (pause := add_verb("pause"), add_verb("resume")):
        _add_token(act)
    pause.add_argument(
        "--minutes",
        type=argument.whole(1, LONGEST_PAUSE_MINUTES),
        default=DEFAULT_PAUSE_MINUTES,
        metavar="N",
        help="for so long, from now (default: %(default)s)",
    )
    reconcile = add_verb("reconcile")
    _add_token(reconcile)
    reconcile.add_argument(
        "--dry-run", action="store_true", help="only say what would be repaired; change nothing"
    )
    cleanup = add_verb("cleanup")
    cleanup.add_argument(
        "--dry-run", action="store_true", help="only say what would be deleted; change nothing"
    )


def _add_messaging(add_verb: AddVerb) -> None:
    notify = add_verb("notify")
    notify.add_argument("text", type=argument.words, nargs="?", metavar="TEXT", help="the message")
    notify.add_argument(
        "--failed",
        type=argument.words,
        metavar="UNIT",
        help="instead: that this unit of systemd's has ended for good, and what to do about it",
    )
    mute = add_verb("mute")
    mute.add_argument(
        "--minutes",
        type=argument.whole(1, LONGEST_MUTE_MINUTES),
        default=DEFAULT_MUTE_MINUTES,
        metavar="N",
        help="for so long, from now (default: %(default)s)",
    )
    add_verb("unmute")


def _add_demo(add_verb: AddVerb) -> None:
    demo = add_verb("demo", has_settings=False)
    demo.add_argument(
        "--postgres",
        choices=["auto", "embedded", "system"],
        default="auto",
        metavar="WHICH",
        help="the wheel's (embedded), the newest of the system, or the first that is there of "
        "$STOCKSYNC_PG_BINDIR and these (auto) (default: %(default)s)",
    )
    demo.add_argument(
        "--orders",
        type=argument.whole(1, 100_000),
        default=DEFAULT_DEMO_ORDERS,
        metavar="N",
        help="so many orders arrive (default: %(default)s)",
    )


def _add_prints(add_verb: AddVerb) -> None:
    add_verb("check")
    grants = add_verb("grants", has_json=False)
    for part, does in (
        ("producer", "inserts rows: the order system's"),
        ("daemon", "does the work, and what people do by hand"),
        ("reader", "only looks"),
    ):
        grants.add_argument(
            f"--{part}", type=argument.text, metavar="ROLE", help=f"the role that {does}"
        )
    unit = add_verb("systemd-unit", has_json=False, has_settings=False)
    which = unit.add_mutually_exclusive_group()
    for option, name, says in (
        ("--failure", "FAILURE", "instead: the unit that tells Telegram when one has failed"),
        ("--template", "TEMPLATE", "instead: a template, for several instances"),
        ("--drop-in", "DROP_IN", "instead: an example of what may differ on a machine"),
    ):
        which.add_argument(option, dest="unit", action="store_const", const=name, help=says)
    unit.set_defaults(unit="SERVICE")
    boards = add_verb("dashboards", has_json=False, has_settings=False)
    board = boards.add_mutually_exclusive_group()
    for option, name, says in (
        ("--grafana", "GRAFANA", "a Grafana dashboard, as JSON (this is the default)"),
        ("--alerts", "ALERTS", "instead: alert rules for Prometheus, as YAML"),
    ):
        board.add_argument(option, dest="board", action="store_const", const=name, help=says)
    boards.set_defaults(board="GRAFANA")


def _add_token(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--token",
        type=argument.token_id,
        metavar="TOKEN",
        help="of the account with this token (a UUID) only",
    )
