"""The command `stocksync`: arguments in, one verb performed, an exit code out."""

import io
import os
import sys
from collections.abc import Sequence

from stocksync.cli.arguments import command_line
from stocksync.model import (
    DatabaseRefused,
    DatabaseUnavailable,
    ForeignTables,
    NotPossible,
    SchemaError,
    ServiceUnavailable,
    SettingsError,
    StocksyncError,
    UnknownOperation,
)

DONE, FAILED, INTERRUPTED = 0, 1, 130
# Those of sysexits.h where it has one: service managers know 78, and do not restart.
EXIT_CODES: dict[type[StocksyncError], int] = {
    UnknownOperation: 3,
    NotPossible: 4,
    DatabaseUnavailable: 69,
    ServiceUnavailable: 69,
    # It answers: a wrong password or a missing permission is configuration.
    DatabaseRefused: 78,
    SettingsError: 78,
    SchemaError: 78,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Perform what the command line says; gives the exit code (README: "Exit codes").

    SystemExit for --help, --version and wrong usage, as argparse has it.
    """
    _write_whatever_comes()
    parser = command_line()
    arguments = parser.parse_args(argv)
    if arguments.verb is None:
        parser.print_help()
        return DONE
    try:
        # Not at the top: --help and --version need not wait for the driver and its friends.
        from stocksync.cli.verbs import perform  # noqa: PLC0415 - the line above

        code = perform(arguments)
        sys.stdout.flush()
    except StocksyncError as error:
        _complain(error)
        return _exit_code(error, arguments.verb)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough. The interpreter's own last flush shall not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _exit_code(error: StocksyncError, verb: str) -> int:
    if verb == "migrate" and isinstance(error, ForeignTables):
        # Nothing to configure for the others: the migration was refused.
        return FAILED
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)


def _complain(error: StocksyncError) -> None:
    from stocksync.telemetry import mask  # noqa: PLC0415 - see main

    for line in error.problems if isinstance(error, SettingsError) else (str(error),):
        sys.stderr.write(f"stocksync: {mask(line)}\n")


def _write_whatever_comes() -> None:
    """An order id may have letters that the terminal's encoding has not."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
