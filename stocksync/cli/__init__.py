"""The command `stocksync`: arguments in, one verb performed, an exit code out."""

import sys
from collections.abc import Sequence

from stocksync.cli.arguments import command_line
from stocksync.cli.codes import DONE, FAILED, INTERRUPTED, exit_code
from stocksync.cli.output import lost, outlets
from stocksync.model import ForeignTables, SettingsError, StocksyncError


def main(argv: Sequence[str] | None = None) -> int:
    """Perform what the command line says; gives the exit code (README: "Exit codes").

    SystemExit for --help, --version and wrong usage, as argparse has it.
    """
    with outlets():
        try:
            return _told(_performed(argv))
        except SystemExit as ended:
            raise SystemExit(_told(int(ended.code or DONE))) from ended


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


def _told(code: int) -> int:
    """The code; of what was done and could not be told, 1."""
    error = lost()
    # Whoever read us and went has seen enough.
    if error is None or isinstance(error, ConnectionError):
        return code
    sys.stderr.write(f"stocksync: stdout cannot be written: {error.strerror}\n")
    return code or FAILED


def _exit_code(error: StocksyncError, verb: str) -> int:
    if verb == "migrate" and isinstance(error, ForeignTables):
        # Nothing to configure for the others: the migration was refused.
        return FAILED
    return exit_code(error)


def _complain(error: StocksyncError) -> None:
    from stocksync.telemetry import mask  # noqa: PLC0415 - see main

    for line in error.problems if isinstance(error, SettingsError) else (str(error),):
        sys.stderr.write(f"stocksync: {mask(line)}\n")
