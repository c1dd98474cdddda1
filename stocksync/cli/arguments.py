"""The grammar of the command line. Imports nothing that takes time."""

from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from stocksync import __version__
from stocksync.cli import words
from stocksync.model import Status

LONGEST_PAGE = 10_000
DEFAULT_PAGE = 50
# A year: whoever needs more has another word for it than pause.
LONGEST_PAUSE_MINUTES = 525_600
DEFAULT_PAUSE_MINUTES = 60
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
                formatter_class=RawDescriptionHelpFormatter,
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
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stocksync {__version__}")
    _add_env_file(parser, default=None)
    add_verb = parser.add_verbs()
    _add_daemon(add_verb)
    _add_questions(add_verb)
    _add_acts(add_verb)
    _add_maintenance(add_verb)
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
    add_verb("status")
    listing = add_verb("list")
    listing.add_argument(
        "--status",
        choices=[str(status) for status in Status],
        metavar="STATUS",
        help=f"of this status only: {', '.join(Status)}",
    )
    _add_token(listing)
    listing.add_argument(
        "--order", type=_text, metavar="ORDER", help="of this order only; its id, case-sensitive"
    )
    listing.add_argument(
        "--limit",
        type=_whole(1, LONGEST_PAGE),
        default=DEFAULT_PAGE,
        metavar="N",
        help=f"at most so many, up to {LONGEST_PAGE} (default: %(default)s)",
    )
    listing.add_argument(
        "--offset",
        type=_whole(0, 10**12),
        default=0,
        metavar="N",
        help="pass over so many of the newest (default: %(default)s)",
    )
    show = add_verb("show")
    show.add_argument(
        "id",
        type=_operation_id,
        nargs="?",
        metavar="ID",
        help="an operation's id, as `list` has it",
    )
    show.add_argument(
        "--order",
        type=_text,
        metavar="ORDER",
        help="instead: an order's id, case-sensitive; its rows, its balance, its flag here and at "
        "the microservice (which makes a flag, false, when it has none for the order)",
    )
    _add_token(show)


def _add_acts(add_verb: AddVerb) -> None:
    for act in (add_verb("retry"), cancel := add_verb("cancel")):
        act.add_argument(
            "ids",
            type=_operation_id,
            nargs="+",
            metavar="ID",
            help="an operation's id, as `list` has it",
        )
    cancel.add_argument("--reason", type=_text, metavar="TEXT", help="for the operation's history")


def _add_maintenance(add_verb: AddVerb) -> None:
    for act in (pause := add_verb("pause"), add_verb("resume")):
        _add_token(act)
    pause.add_argument(
        "--minutes",
        type=_whole(1, LONGEST_PAUSE_MINUTES),
        default=DEFAULT_PAUSE_MINUTES,
        metavar="N",
        help="for so long, from now (default: %(default)s)",
    )


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
        type=_whole(1, 100_000),
        default=DEFAULT_DEMO_ORDERS,
        metavar="N",
        help="so many orders arrive (default: %(default)s)",
    )


def _add_token(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--token",
        type=_token_id,
        metavar="TOKEN",
        help="of the account with this token (a UUID) only",
    )


def _operation_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an operation's id (a UUID)") from None


def _token_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not an account's token (a UUID)") from None


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"{text!r} is not UTF-8") from None
    return text


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return parse
