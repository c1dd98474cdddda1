"""The command `stocksync`: arguments in, one verb performed, an exit code out."""

import io
import os
import sys
from collections.abc import Sequence

from stocksync.cli.arguments import command_line
from stocksync.cli.codes import DONE, FAILED, INTERRUPTED, exit_code
from stocksync.model import ForeignTables, SettingsError, StocksyncError


def main(argv: Sequence[str] | None = None) -> int:
    """Perform what the command line says; gives the exit code (README: "Exit codes").

    SystemExit for --help, --version and wrong usage, as argparse has it.
    """
    _write_whatever_comes()
    try:
        try:
            return _performed(argv)
        finally:
            # Now, while somebody can still say what is wrong with it.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough. The interpreter's own last flush shall not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _performed(argv: Sequence[str] | None) -> int:
    parser = command_line()
    arguments = parser.parse_args(argv)
    if arguments.verb is None:
        parser.print_help()
        return DONE
    try:
        # Not at the top: --help and --version need not wait for the driver and its friends.
        from stocksync.cli.verbs import perform  # noqa: PLC0415 - the line above

        return perform(arguments)
    except StocksyncError as error:
        _complain(error)
        return _exit_code(error, arguments.verb)
    except KeyboardInterrupt:
        return INTERRUPTED


def _exit_code(error: StocksyncError, verb: str) -> int:
    if verb == "migrate" and isinstance(error, ForeignTables):
        # Nothing to configure for the others: the migration was refused.
        return FAILED
    return exit_code(error)


def _complain(error: StocksyncError) -> None:
    from stocksync.telemetry import mask  # noqa: PLC0415 - see main

    for line in error.problems if isinstance(error, SettingsError) else (str(error),):
        sys.stderr.write(f"stocksync: {mask(line)}\n")


def _write_whatever_comes() -> None:
    """An order id may have letters that the terminal's encoding has not."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
