"""Exit codes: what an error means to whoever called (README: "Exit codes")."""

from stocksync.model import (
    DatabaseRefused,
    DatabaseUnavailable,
    NotPossible,
    SchemaError,
    ServiceUnavailable,
    SettingsError,
    StocksyncError,
    UnknownOperation,
)

DONE, FAILED, INTERRUPTED = 0, 1, 130
# Those of sysexits.h where it has one: service managers know 78, and do not restart.
_CODES: dict[type[StocksyncError], int] = {
    UnknownOperation: 3,
    NotPossible: 4,
    DatabaseUnavailable: 69,
    ServiceUnavailable: 69,
    # It answers: a wrong password or a missing permission is configuration.
    DatabaseRefused: 78,
    SettingsError: 78,
    SchemaError: 78,
}


def exit_code(error: StocksyncError) -> int:
    """The code of an error; 1 for what has none of its own."""
    # Here: --help and --version need not wait for it.
    from stocksync.telegram import (  # noqa: PLC0415 - the line above
        Flooded,
        TelegramRefused,
        TelegramUnavailable,
    )

    codes = _CODES | {Flooded: 69, TelegramUnavailable: 69, TelegramRefused: 78}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)
