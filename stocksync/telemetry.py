"""Telemetry: events become lines, and no line holds a secret. structlog's home."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isfinite
from typing import Literal, TextIO, cast
from urllib.parse import quote, unquote


@contextmanager
def _unseen(package: str) -> Iterator[None]:
    """Have it look as if the package was not installed."""
    seen = sys.modules.pop(package, None)
    sys.modules[package] = None  # type: ignore[assignment] # as the import system writes it
    try:
        yield
    finally:
        del sys.modules[package]
        if seen is not None:
            sys.modules[package] = seen


# structlog takes rich along wherever it is installed: 0.1 s of every command, for tracebacks with
# local variables, secrets among them, that nobody shall see.
with _unseen("rich"):
    import structlog
    from structlog.stdlib import ProcessorFormatter
    from structlog.typing import EventDict, FilteringBoundLogger, Processor

Logger = FilteringBoundLogger
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_MASK = "***"
_OUR_LOGGER = "stocksync"


def get_logger() -> Logger:
    """Return a logger of events, named by their room: `log.info("relay.settled", completed=41)`.

    It may be made before `configure`; what counts is the configuration when it is used.
    """
    return cast("Logger", structlog.get_logger())


def configure(
    level: Level = "info",
    format: Format = "auto",  # noqa: A002 - the setting's name, LOG_FORMAT
    stream: TextIO | None = None,
) -> None:
    """Send events of `level` and above to `stream` (stderr), ours and the libraries' alike.

    `auto` is `console` on a terminal and `json` elsewhere; colours only on a terminal, and
    never with NO_COLOR. Libraries are heard from warning on: below that, httpx prints full URLs.
    May be called again: the last call counts.
    """
    stream = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = _LineHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_PREPARE],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _mask_line,
                _renderer(format, stream),
            ],
        )
    )
    _replace_handler(handler)
    logging.getLogger().setLevel(max(threshold, logging.WARNING))
    logging.getLogger(_OUR_LOGGER).setLevel(threshold)
    structlog.configure(
        # Below the level, a call is an empty function.
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: logging.getLogger(_OUR_LOGGER),
        processors=[*_PREPARE, ProcessorFormatter.wrap_for_formatter],
        # A module's logger outlives a second `configure`.
        cache_logger_on_first_use=False,
    )


def hide(secret: str) -> None:
    """Keep `secret` out of every line from now on, also where it stands inside a longer text.

    Of a URL with a password, the password is hidden as well, by itself and percent-decoded.
    """
    _secrets.add(secret)


def mask(text: str) -> str:
    """`text` without hidden secrets, passwords in URLs, and JWTs."""
    return _secrets.mask(text)


class _Secrets:
    """The hidden texts in every spelling that a line may hold, as one pattern."""

    def __init__(self) -> None:
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        passwords = [found["password"] for found in _URL_PASSWORD.finditer(secret)]
        for text in (secret, *passwords):
            self._spellings |= _spellings(text)
        self._spellings.discard("")
        # The longest first: otherwise the rest of a URL would survive behind its password.
        longest_first = sorted(self._spellings, key=len, reverse=True)
        if longest_first:
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(_MASK, text)
        text = _URL_PASSWORD.sub(rf"\g<before>{_MASK}", text)
        return _JWT.sub(_MASK, text)


# Up to the last @: whoever forgot to encode one has the rest of the password behind it.
_URL_PASSWORD = re.compile(
    r"""(?P<before>\w://[^\s/:@"'<>]*:|[?&](?:ssl)?password=)"""
    r"""(?P<password>(?<=:)[^\s"'<>]*(?=@)|(?<==)[^\s"'<>&]+)"""
)
# Minted ones come and go: they are known by their looks.
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_secrets = _Secrets()


def _spellings(text: str) -> set[str]:
    """`text` as it is, percent-encoded and -decoded, inside a repr, inside a JSON document."""
    plain = {text, unquote(text), quote(text), quote(text, safe="")}
    # The second repr is the one of a longer text with both kinds of quotes in it.
    in_repr = {form for each in plain for form in (repr(each)[1:-1], repr(each + "'\"")[1:-4])}
    in_json = {json.dumps(each)[1:-1] for each in plain}
    in_plain_json = {json.dumps(each, ensure_ascii=False)[1:-1] for each in plain}
    return plain | in_repr | in_json | in_plain_json


def _mask_line(_logger: object, _method: str, line: EventDict) -> EventDict:
    head = {key: line.pop(key) for key in ("timestamp", "level") if key in line}
    event = {"event": _masked(line.pop("event", ""))}
    return head | event | {mask(key): _masked(value) for key, value in line.items()}


def _masked(value: object) -> object:
    """`value` as text, numbers and containers of them, which a renderer only has to join."""
    match value:
        case float() if not isfinite(value):
            return str(value)  # JSON has no word for it
        case None | bool() | int() | float():
            return _MASK if mask(repr(value)) == _MASK else value
        case BaseException():
            return mask(f"{type(value).__name__}: {value}")
        case Mapping():
            return {mask(str(key)): _masked(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(each) for each in cast("Iterable[object]", value)]
        case _:
            return mask(str(value))


def _renderer(format_: Format, stream: TextIO) -> Processor:
    is_terminal = stream.isatty()
    if format_ == "json" or (format_ == "auto" and not is_terminal):
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=is_terminal and not os.environ.get("NO_COLOR"),
        # A quoted value cannot forge a line of its own.
        repr_native_str=True,
        # Not better_exceptions, which would print local variables, secrets among them.
        exception_formatter=structlog.dev.plain_traceback,
    )


_PREPARE: list[Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.StackInfoRenderer(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _LineHandler(logging.StreamHandler[TextIO]):
    """The one way out: a line that cannot be rendered or written stops nobody's work."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name and signature
        # The library's own handler would print the record as it is, secrets included.
        error = sys.exc_info()[0] or Exception
        line = {"event": "telemetry.line_lost", "level": "error", "error": error.__name__}
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(line) + self.terminator)


def _replace_handler(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
