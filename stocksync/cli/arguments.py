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
from typing import Any, NoReturn
from uuid import UUID

from stocksync import __version__
from stocksync.model import Status

LONGEST_PAGE = 10_000
DEFAULT_PAGE = 50

_EPILOGUE = """\
exit codes: 0 done, 1 failed, 2 usage, 3 no such operation, 4 not possible in its status,
69 database or service unreachable, 78 configuration or schema
"""


class CommandLine(ArgumentParser):
    """argparse, with the one rule that it cannot express."""

    def parse_args(  # type: ignore[override] # the overloads are for other namespaces
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> Namespace:
        """Parse, or exit with 2."""
        arguments = super().parse_args(args, namespace)
        if arguments.verb == "show":
            if (arguments.id is None) == (arguments.order is None):
                self.refuse("show", "give an operation's ID, or --order ORDER")
            if arguments.token is not None and arguments.order is None:
                self.refuse("show", "--token goes with --order")
        return arguments

    def refuse(self, verb: str, problem: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"{self.prog} {verb}: error: {problem}\n")


def command_line() -> CommandLine:
    """The parser of everything that `stocksync` understands."""
    parser = CommandLine(
        prog="stocksync",
        description="Carries stock operations from the outbox to the microservice.",
        epilog=_EPILOGUE,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"stocksync {__version__}")
    _add_env_file(parser, default=None)
    add_verb = _verbs(parser)
    _add_daemon(add_verb)
    _add_questions(add_verb)
    _add_acts(add_verb)
    _add_demo(add_verb)
    return parser


AddVerb = Callable[..., ArgumentParser]


def _verbs(parser: ArgumentParser) -> AddVerb:
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=ArgumentParser)

    def add_verb(name: str, summary: str, *, has_json: bool = True) -> ArgumentParser:
        verb = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        # Also after the verb; not given there, what stood before it remains.
        _add_env_file(verb, default=SUPPRESS)
        if has_json:
            verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
        return verb

    return add_verb


def _add_env_file(parser: ArgumentParser, *, default: Any) -> None:  # noqa: ANN401 - None or argparse's mark
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        default=default,
        help="read settings from PATH where the environment has none",
    )


def _add_daemon(add_verb: AddVerb) -> None:
    run = add_verb("run", "Run the daemon.", has_json=False)
    run.add_argument("--migrate", action="store_true", help="migrate first")
    migrate = add_verb("migrate", "Create the tables, or bring them up to date.")
    migrate.add_argument(
        "--dry-run", action="store_true", help="only say what would be applied; change nothing"
    )
    migrate.add_argument(
        "--with-foreign-keys",
        action="store_true",
        help="add keys to the order system's tables, where it has them",
    )


def _add_questions(add_verb: AddVerb) -> None:
    add_verb("status", "How the outbox stands: the verdict, its reasons, and the numbers.")
    listing = add_verb("list", "List operations, newest first.")
    listing.add_argument("--status", choices=[str(status) for status in Status])
    _add_token(listing)
    listing.add_argument("--order", type=_text, metavar="ORDER", help="of this order only")
    listing.add_argument("--limit", type=_whole(1, LONGEST_PAGE), default=DEFAULT_PAGE, metavar="N")
    listing.add_argument("--offset", type=_whole(0, 10**12), default=0, metavar="N")
    show = add_verb("show", "Tell an operation's story, or how an order stands.")
    show.add_argument("id", type=_operation_id, nargs="?", metavar="ID", help="an operation")
    show.add_argument(
        "--order",
        type=_text,
        metavar="ORDER",
        help="an order: its rows, its balance, its flag here and at the microservice (which makes "
        "a flag, false, when it has none for the order)",
    )
    _add_token(show)


def _add_acts(add_verb: AddVerb) -> None:
    retry = add_verb("retry", "Try pending or failed operations again now; all of them or none.")
    cancel = add_verb("cancel", "Cancel pending or failed operations; all of them or none.")
    for act in (retry, cancel):
        act.add_argument("ids", type=_operation_id, nargs="+", metavar="ID")
    cancel.add_argument("--reason", type=_text, metavar="TEXT", help="for the operation's history")


def _add_demo(add_verb: AddVerb) -> None:
    demo = add_verb("demo", "Show everything at work on this machine; nothing to configure.")
    demo.add_argument("--postgres", choices=["auto", "embedded", "system"], default="auto")
    demo.add_argument("--orders", type=_whole(1, 100_000), default=200, metavar="N")


def _add_token(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--token", type=_token_id, metavar="TOKEN", help="of the account with this token only"
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
