"""Telemetry: every event is one line, in both formats, and no line holds a secret."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stocksync import telemetry
from stocksync.telemetry import Format, Level, configure, get_logger, hide, mask

FORMATS: tuple[Format, ...] = ("json", "console")
# The fixture forgets secrets per test, not per example: more of them hide more. A busy machine
# is no failure.
STEADY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PASSWORD = "corr€ct horse'\"\\"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(telemetry, "_secrets", telemetry._Secrets())
    monkeypatch.delenv("NO_COLOR", raising=False)
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    logging.getLogger("stocksync").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def written(format_: Format, level: Level = "debug") -> StringIO:
    stream = StringIO()
    configure(level, format_, stream)
    return stream


def only_line(stream: StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


def test_json_is_one_document_a_line_with_time_level_and_event_first() -> None:
    stream = written("json")
    get_logger().info("relay.settled", completed=41, took_ms=8.5, order_id="заказ", token_id=None)
    line = only_line(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "relay.settled",
        "completed": 41,
        "took_ms": 8.5,
        "order_id": "заказ",
        "token_id": None,
    }
    assert "заказ" in stream.getvalue()


def test_values_of_any_kind_are_readable_and_valid_json() -> None:
    stream = written("json")
    operation_id = UUID(int=7)
    get_logger().info(
        "x", id=operation_id, ids=(operation_id,), why=OSError("no"), rate=float("nan")
    )
    line = only_line(stream)
    assert line["id"] == str(operation_id)
    assert line["ids"] == [str(operation_id)]
    assert line["why"] == "OSError: no"
    assert line["rate"] == "nan"


def test_console_says_level_event_and_values() -> None:
    stream = written("console")
    get_logger().warning("circuit.opened", reason="no answer")
    (line,) = stream.getvalue().splitlines()
    assert "warning" in line
    assert "circuit.opened" in line
    assert "reason='no answer'" in line


def test_a_value_cannot_forge_a_line_or_colour_a_terminal() -> None:
    for format_ in FORMATS:
        stream = written(format_)
        get_logger().info("x", order_id="1\n2026-01-01 [error] forged", sku="\x1b[31mred")
        assert len(stream.getvalue().splitlines()) == 1
        assert "\x1b" not in stream.getvalue()


def test_auto_is_console_on_a_terminal_and_json_elsewhere() -> None:
    terminal = Terminal()
    configure("info", "auto", terminal)
    get_logger().info("hello", n=1)
    assert "\x1b[" in terminal.getvalue()
    stream = written("auto")
    get_logger().info("hello", n=1)
    assert only_line(stream)["n"] == 1


def test_no_color_is_respected_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure("info", "auto", terminal)
    get_logger().info("hello", n=1)
    assert "hello" in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()


def test_the_stream_is_stderr_when_none_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    get_logger().info("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "hello"


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_least_that_is_heard(level: Level, heard: list[str]) -> None:
    stream = written("json", level)
    log = get_logger()
    for each in ("debug", "info", "warning", "error"):
        getattr(log, each)("x")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == heard


def test_the_last_configuration_counts_also_for_loggers_made_before() -> None:
    log = get_logger()
    first = written("json")
    log.info("one")
    second = written("console", "error")
    log.info("two")
    log.error("three")
    assert only_line(first)["event"] == "one"
    assert "three" in second.getvalue()
    assert "two" not in second.getvalue()


@pytest.mark.parametrize("library", ["httpx", "httpcore", "asyncpg", "asyncio", "some.library"])
def test_libraries_are_heard_from_warning_on_in_our_format(library: str) -> None:
    stream = written("json", "debug")
    logger = logging.getLogger(library)
    logger.debug("headers")
    logger.info("HTTP Request: PATCH %s", "http://host/orders/1?token_id=x")
    logger.warning("lost %s", "it")
    line = only_line(stream)
    assert line["event"] == "lost it"
    assert line["logger"] == library
    assert line["level"] == "warning"


async def test_what_asyncio_finds_is_a_line_with_its_traceback() -> None:
    stream = written("json")
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "unhandled", "exception": OSError("broken")})
    line = only_line(stream)
    assert line["logger"] == "asyncio"
    assert "OSError: broken" in line["exception"]


@pytest.mark.parametrize("format_", FORMATS)
def test_exceptions_come_with_their_traceback(format_: Format) -> None:
    stream = written(format_)
    try:
        raise_group()
    except ExceptionGroup:
        get_logger().exception("loop.failed")
    text = stream.getvalue()
    assert "Traceback (most recent call last)" in text
    assert "raise_group" in text
    assert "LookupError: inner" in text


def raise_group() -> None:
    raise ExceptionGroup("two at once", [LookupError("inner"), OSError("other")])


@dataclass
class Holder:
    dsn: str


@pytest.mark.parametrize("format_", FORMATS)
def test_a_hidden_secret_appears_nowhere_in_a_line(format_: Format) -> None:
    hide(PASSWORD)
    stream = written(format_)
    log = get_logger()
    log.info("event %s", PASSWORD, key=PASSWORD, nested={"a": [{"b": (f"x{PASSWORD}y",)}]})
    log.info("names", **{PASSWORD: 1})
    log.info("objects", held=Holder(dsn=PASSWORD), error=ValueError(PASSWORD), document=PASSWORD)
    log.info("spelt", repr=repr(PASSWORD), json=json.dumps({"a": PASSWORD}), bare=[PASSWORD])
    logging.getLogger("library").warning("said %s", PASSWORD)
    try:
        raise_with(PASSWORD)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("library").exception("failed")
    text = stream.getvalue()
    assert "ValueError" in text
    assert "***" in text
    for spelling in ("horse", "corr"):
        assert spelling not in text


def raise_with(text: str) -> None:
    cause = ValueError(text)
    cause.add_note(text)
    raise RuntimeError(f"wrapping {text}") from cause


@STEADY
@given(
    secret=st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=1),
    around=st.text(max_size=5),
)
def test_no_hidden_text_survives_masking(secret: str, around: str) -> None:
    hide(secret)
    assert secret not in mask(f"{around}{secret}{around}")


@STEADY
@given(secret=st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=6))
def test_whatever_the_secret_json_stays_json_and_has_no_trace_of_it(secret: str) -> None:
    stream = written("json")
    hide(secret)
    get_logger().info("x", value=secret, held=Holder(dsn=f"{secret} '\""))
    line = only_line(stream)
    assert line["value"] == "***"
    assert line["held"].startswith("Holder(dsn=")
    assert repr(secret)[1:-1] not in line["held"]


def test_a_url_is_hidden_with_its_password_in_both_spellings() -> None:
    hide("postgresql://relay:pa%2Fss@db.example/stock?application_name=x")
    assert mask('password authentication failed: "pa/ss"') == (
        'password authentication failed: "***"'
    )
    assert mask("pa%2Fss") == "***"
    assert mask("postgresql://relay:pa%2Fss@db.example/stock?application_name=x") == "***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:p:@/?#x@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("to postgres://u:p@h1,h2/db now", "to postgres://u:***@h1,h2/db now"),
        ("https://u:p@h/ and a@b", "https://u:***@h/ and a@b"),
        (
            "postgresql:///db?user=u&password=p&sslmode=x",
            "postgresql:///db?user=u&password=***&sslmode=x",
        ),
        ("Authorization: Bearer eyJhbGciOi.eyJ1c2Vy.c2ln-_", "Authorization: Bearer ***"),
        ("http://127.0.0.1:8000/orders/a?token_id=b", "http://127.0.0.1:8000/orders/a?token_id=b"),
    ],
)
def test_passwords_in_urls_and_jwts_are_masked_without_being_announced(
    text: str, masked: str
) -> None:
    assert mask(text) == masked


def test_of_two_secrets_that_overlap_nothing_is_left_over() -> None:
    hide("hunter")
    hide("hunter2-and-more")
    assert mask("hunter2-and-more, hunter") == "***, ***"


def test_an_empty_secret_hides_nothing() -> None:
    hide("")
    assert mask("abc") == "abc"


def test_a_line_that_cannot_be_rendered_stops_nobody_and_shows_nothing() -> None:
    class Broken:
        def __str__(self) -> str:
            raise KeyError(PASSWORD)

    stream = written("json")
    get_logger().info("x", value=Broken())
    line = only_line(stream)
    assert line["event"] == "telemetry.line_lost"
    assert line["error"] == "KeyError"


def test_a_closed_stream_stops_nobody() -> None:
    stream = written("json")
    stream.close()
    get_logger().error("x")
    assert stream.closed
