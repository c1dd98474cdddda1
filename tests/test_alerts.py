"""Alerts: each change in words, in both languages, as long as Telegram takes it, never failing."""

import dataclasses
import re
import shlex
import string
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stocksync import alerts
from stocksync.alerts import Speech, catalogue
from stocksync.alerts.catalogue import LANGUAGES
from stocksync.alerts.facts import line_of
from stocksync.changes import Change, Kind, Phase
from stocksync.circuit import Kind as Said
from stocksync.circuit import Seen, ServiceCircuit
from stocksync.cli.arguments import command_line
from stocksync.message import Bold, Code, Message, units
from stocksync.settings import Telegram
from tests.outbox import ACCOUNT, OTHER_ACCOUNT

Language = Literal["ru", "en"]
HOURS = [{"hour": h, "rows_completed": 10 * h, "due_rows": h % 3} for h in range(24)]
AT = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
NAMES = {ACCOUNT: "Ирина"}
ID = "6f1c2a44-1111-4222-8333-00000000000{}"
EXAMPLES = [
    {
        "operation_id": ID.format(number),
        "token_id": ACCOUNT if number else OTHER_ACCOUNT,
        "order_id": f"ORDER-{number}",
        "error": "422 refused: sku",
        "created_at": "2026-11-22T19:01:00+00:00",
        "balance": -2,
        "wanted": True,
        "found": False,
        "act": "left",
    }
    for number in range(3)
]
FACTS: Mapping[Kind, dict[str, Any]] = {
    Kind.OUTAGE: {
        "reason": "no connection: refused",
        "waiting_rows": 121,
        "seconds": 8100,
        "lines": {"backlog": 2340, "stale": 12, "failure_rate": 0.331, "stalled": 4000},
    },
    Kind.PARKED: {"reason": "404 token not accepted: Токен", "waiting_rows": 1, "seconds": 95},
    Kind.STALLED: {"reasons": ["rows due: 5"], "due_rows": 5, "seconds": 300},
    Kind.BACKLOG: {
        "pending": 1501,
        "limit": 1000,
        "oldest_due_seconds": 725,
        "backlog_seconds": None,
        "seconds": 1800,
    },
    Kind.STALE: {"count": 3, "hours": 6, "examples": EXAMPLES, "seconds": 60},
    Kind.FAILURE_RATE: {
        "rate": 0.23,
        "threshold": 0.1,
        "attempts": 200,
        "unproven": 46,
        "window_minutes": 30,
        "error": "500 x",
        "seconds": 60,
    },
    Kind.FAILED: {
        "count": 3,
        "failed_now": 12,
        "accounts": [
            {"token_id": ACCOUNT, "count": 2},
            {"token_id": OTHER_ACCOUNT, "count": 1},
        ],
        "examples": EXAMPLES,
        "operation_ids": [each["operation_id"] for each in EXAMPLES],
    },
    Kind.NEGATIVE: {"count": 1, "examples": EXAMPLES[1:2]},
    Kind.DISCREPANCIES: {"found": 3, "repaired": 1, "left": 1, "given_up": 1, "examples": EXAMPLES},
    Kind.DAILY_REPORT: {
        "day": "2026-11-22",
        "orders_pushed": 1204,
        "rows_completed": 1941,
        "first_try_share": 0.9951,
        "row_retries": 12,
        "mean_retry_seconds": 181,
        "rows_failed": 2,
        "failed_now": 5,
        "discrepancies_found": 1,
        "discrepancies_repaired": 1,
        "slowest_account": {"token_id": ACCOUNT, "mean_seconds": 1.24, "rows": 300},
    },
    Kind.NOTICE: {"text": "the unit failed\nsee the journal", "by": "root@db1"},
}
LASTING = (
    Kind.OUTAGE,
    Kind.PARKED,
    Kind.STALLED,
    Kind.BACKLOG,
    Kind.STALE,
    Kind.FAILURE_RATE,
)
EVERY = [
    (kind, phase)
    for kind in Kind
    for phase in (
        [p for p in Phase if p is not Phase.HAPPENED] if kind in LASTING else ["happened"]
    )
]


def change(
    kind: Kind,
    phase: str,
    *,
    token_id: str = "",
    at: datetime = AT,
    **facts: Any,  # noqa: ANN401 - JSON
) -> Change:
    if kind is Kind.PARKED and not token_id:
        token_id = ACCOUNT
    return Change(
        id=7,
        at=at,
        kind=kind,
        phase=Phase(phase),
        token_id=token_id,
        facts={**FACTS[kind], **facts},
    )


def told(
    kind: Kind,
    phase: str,
    language: Language = "en",
    **facts: Any,  # noqa: ANN401 - JSON
) -> str:
    return catalogue(language).message([change(kind, phase, **facts)], NAMES).text


def commands(message: Message) -> list[str]:
    return [part.text for part in message.parts if isinstance(part, Code) and " " in part.text]


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize(("kind", "phase"), EVERY)
def test_every_change_is_told_with_what_to_do(kind: Kind, phase: str, language: Language) -> None:
    message = catalogue(language).message([change(kind, phase)], NAMES)
    mark, head = message.parts[:2]
    assert mark in ("🔴 ", "🟡 ", "🟢 ", "🔵 ")
    assert isinstance(head, Bold)
    assert message.text.startswith(f"{mark}{head.text}")
    assert (mark == "🟢 ") == (phase == "ended")
    assert (mark == "🔴 ") == (kind in (Kind.OUTAGE, Kind.STALLED) and phase != "ended")
    has_nothing_to_do = LANGUAGES[language].nothing_to_do in message.text
    assert bool(commands(message)) != (has_nothing_to_do or kind is Kind.NOTICE)
    assert not re.search(r"[{}|]|None|\n\n", message.text)


@pytest.mark.parametrize(("kind", "phase"), EVERY)
def test_both_languages_say_the_same(kind: Kind, phase: str) -> None:
    messages = [catalogue(lang).message([change(kind, phase)], NAMES) for lang in ("ru", "en")]
    russian, english = (
        message.text.replace("\N{NO-BREAK SPACE}", "").replace(",", "").replace(".", "")
        for message in messages
    )
    assert sorted(re.findall(r"\d+", russian)) == sorted(re.findall(r"\d+", english))
    assert len(russian.splitlines()) == len(english.splitlines())
    assert commands(messages[0]) == commands(messages[1])


@pytest.mark.parametrize(("kind", "phase"), EVERY)
def test_the_commands_to_run_are_commands(kind: Kind, phase: str) -> None:
    for command in commands(catalogue("en").message([change(kind, phase)], NAMES)):
        program, *arguments = shlex.split(command)
        if program == "systemctl":
            continue
        assert program == "stocksync"
        assert command_line().parse_args(arguments).verb == arguments[0]


def test_an_outage_in_russian() -> None:
    assert told(Kind.OUTAGE, "began", "ru", lines={}) == (
        "🔴 Микросервис не работает: отправка остановлена\n"
        "С 2026-11-23 02:10 UTC.\n"
        "Причина: no connection: refused\n"
        "Ждут в очереди: 121 строка.\n"
        "Флаги «остаток списан» до него не доходят. Ничего не потеряно: stocksync проверяет его "
        "не реже раза в 30 секунд и, когда он заработает, отправит всё сам.\n"
        "Что делать: восстановить работу микросервиса; перезапуск stocksync не поможет. "
        "Как обстоят дела:\n"
        "stocksync status"
    )


def test_its_end_says_how_long_it_was_and_what_waited() -> None:
    assert told(Kind.OUTAGE, "ended", waiting_rows=2000) == (
        "🟢 The microservice works again\n"
        "It lasted 2 h 15 min, until 2026-11-23 02:10 UTC.\n"
        "Gathered meanwhile: 2,000 rows. They are sent by themselves.\n"
        "There is nothing to do."
    )


def test_what_follows_from_an_outage_is_a_part_of_its_message() -> None:
    text = told(Kind.OUTAGE, "lasts")
    assert (
        "Because of it:\n• the queue is too long: 2,340 rows\n• not sent for too long: 12 rows\n"
        "• attempts that fail: 33%\n• nothing has been sent for 1 h 7 min\n"
    ) in text
    assert "Because" not in told(Kind.OUTAGE, "lasts", lines={})


def test_rows_that_failed_are_told_with_the_command_that_sends_them_again() -> None:
    message = catalogue("en").message([change(Kind.FAILED, "happened")], NAMES)
    assert message.text == (
        "🟡 Not sent, and not tried any more: 3 rows\n"
        "In all, so many need a person now: 12 rows.\n"
        "Accounts: “Ирина” – 2, 0a1b2c3d… – 1\n"
        "• order ORDER-0, 0a1b2c3d…: 422 refused: sku\n"
        "• order ORDER-1, “Ирина”: 422 refused: sku\n"
        "• order ORDER-2, “Ирина”: 422 refused: sku\n"
        "The microservice refused them, or no retry is left. Nobody sends them any more unless a "
        "person says so.\n"
        "What to do: remove the cause, then send them again:\n"
        f"stocksync retry {ID.format(0)} {ID.format(1)} {ID.format(2)}"
    )
    assert Code("ORDER-1") in message.parts


def test_when_they_are_many_the_command_lists_them() -> None:
    accounts = [{"token_id": ACCOUNT, "count": 40}]
    text = told(Kind.FAILED, "happened", count=40, accounts=accounts)
    assert text.endswith(f"stocksync list --status failed --token={ACCOUNT}")


def test_several_of_a_kind_are_one_statement() -> None:
    one = change(Kind.FAILED, "happened")
    text = catalogue("en").message([one, one], NAMES).text
    assert text.startswith("🟡 Not sent, and not tried any more: 6 rows\n")
    assert "“Ирина” – 4" in text
    assert text.count("• order") == 5
    parked = [change(Kind.PARKED, "began"), change(Kind.PARKED, "began", token_id=OTHER_ACCOUNT)]
    text = catalogue("ru").message(parked, NAMES).text
    assert text.startswith("🟡 Микросервис не принимает 2 аккаунта\n")
    assert f"• «Ирина», {ACCOUNT}: 1 строка ждёт\n• {OTHER_ACCOUNT}: 1 строка ждёт\n" in text


def test_a_condition_that_lasts_is_told_as_it_stands_now() -> None:
    changes = [change(Kind.BACKLOG, "lasts", pending=n) for n in (2000, 3000)]
    text = catalogue("en").message(changes, NAMES).text
    assert text.startswith("🟡 The queue is still too long, for 30 min now: 3,000 rows\n")
    assert "2,000" not in text


def opened_by(*pushes: tuple[str, Said, str]) -> str:
    circuit = ServiceCircuit(has_proven=True)
    for number, (account, kind, reason) in enumerate(pushes):
        seen = Seen(account=account, order=str(number), kind=kind, reason=reason)
        circuit = circuit.fed(seen, failures=2)
    assert circuit.reason is not None
    return circuit.reason


@pytest.mark.parametrize(
    ("reason", "act"),
    [
        (opened_by(("a", Said.CREDENTIALS, "401 credentials refused")), "refuses stocksync's key"),
        (
            opened_by(("a", Said.TOKEN, "404"), ("b", Said.TOKEN, "404")),
            "does not find a single account",
        ),
        (
            ServiceCircuit(in_a_row=1).told(is_healthy=False, says="database error").reason,
            "has lost its database",
        ),
        (opened_by(("a", Said.FAILED, "no answer"), ("b", Said.FAILED, "x")), "get the micros"),
        ("", "get the microservice to work"),
    ],
)
def test_what_to_do_in_an_outage_depends_on_its_reason(reason: str, act: str) -> None:
    assert f"What to do: {'the microservice ' if act[0] != 'g' else ''}{act}" in told(
        Kind.OUTAGE, "began", reason=reason
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 строк"),
        (1, "1 строка"),
        (2, "2 строки"),
        (5, "5 строк"),
        (11, "11 строк"),
        (12, "12 строк"),
        (21, "21 строка"),
        (22, "22 строки"),
        (25, "25 строк"),
        (111, "111 строк"),
        (1001, "1\N{NO-BREAK SPACE}001 строка"),
    ],
)
def test_russian_counts(number: int, said: str) -> None:
    assert Speech(LANGUAGES["ru"]).text("{rows:строка|строки|строк}", rows=number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.02, "0.1 s"),
        (1.24, "1.2 s"),
        (59, "59 s"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (600.4, "10 min"),
        (3599, "1 h"),
        (8100, "2 h 15 min"),
        (7201, "2 h"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert Speech(LANGUAGES["en"]).span(seconds) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0%"),
        (0.0001, "0.1%"),
        (0.05, "5%"),
        (0.123, "12%"),
        (0.9951, "99.5%"),
        (0.99999, "99.9%"),
        (1, "100%"),
    ],
)
def test_a_share_is_all_or_nothing_only_when_it_is(share: float, said: str) -> None:
    assert Speech(LANGUAGES["en"]).share(share) == said


def test_foreign_text_is_short_and_on_one_line() -> None:
    assert line_of("a\x00b\n\u202ec", 10) == "a b c"
    assert line_of("12345678901", 10) == "123456789…"
    assert units(line_of("😀" * 500, 10)) <= 10
    assert line_of("\ud800", 10) == ""


def test_an_order_id_that_nobody_should_type_is_in_no_command() -> None:
    hostile = {**EXAMPLES[1], "order_id": "x" * 300}
    text = told(Kind.NEGATIVE, "happened", examples=[hostile])
    assert text.endswith(f"\nstocksync list --token={ACCOUNT}")
    quoted = told(Kind.NEGATIVE, "happened", examples=[hostile | {"order_id": "$(reboot) '"}])
    command = quoted.splitlines()[-1]
    assert shlex.split(command)[2] == "--order=$(reboot) '"


NAMES_OF_FACTS = sorted(
    {
        *(name for facts in FACTS.values() for name in facts),
        *EXAMPLES[0],
        *("acts", "act", "by", "at", "until", "rows"),
    }
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("😀" * 500, "я\n\x00" * 200, "{error} {0} %s", "retry", "", AT.isoformat(), "\ud800"),
        *(None, True, -1, 0, 1, 10**30, -0.5, float("nan"), float("inf"), 1e300, [], {}, [[]]),
    ]
)
ODD_FACTS = st.dictionaries(st.sampled_from(NAMES_OF_FACTS), ODD, max_size=6)
HOSTILE = st.dictionaries(
    st.sampled_from(NAMES_OF_FACTS), ODD | ODD_FACTS | st.lists(ODD_FACTS | ODD, max_size=9)
)


@st.composite
def hostile_changes(draw: Callable[..., Any]) -> list[Change]:
    kind, phase = draw(st.sampled_from(EVERY))
    token_id = draw(st.sampled_from(["", ACCOUNT, "😀" * 500, "\n"]))
    return [
        Change(id=10**18 + n, at=AT, kind=kind, phase=Phase(phase), token_id=token_id, facts=facts)
        for n, facts in enumerate(draw(st.lists(HOSTILE, min_size=1, max_size=3)))
    ]


@settings(max_examples=150)
@given(changes=hostile_changes(), language=st.sampled_from(["ru", "en"]), name=st.text(max_size=9))
def test_whatever_the_facts_are_a_message_is_worded_and_fits(
    changes: list[Change], language: Language, name: str
) -> None:
    words = catalogue(language, with_buttons=True)
    names = {changes[0].token_id: name}
    for message in (words.message(changes, names), words.merged(changes * 9, {})):
        assert 0 < units(message.text) <= 4096
        assert message.text.encode()
        for button in [each for row in message.buttons for each in row]:
            assert len(button.action.encode()) <= 64


@pytest.mark.parametrize("count", [1, 20, 200, 2000])
def test_of_too_much_the_least_important_gives_way(count: int) -> None:
    changes = [
        change(Kind.NOTICE, "happened", text=f"notice {n}", at=AT + timedelta(seconds=n))
        for n in range(count)
    ]
    outage = change(Kind.OUTAGE, "began", at=AT + timedelta(hours=9))
    message = catalogue("en").merged([*changes, outage], NAMES)
    assert units(message.text) <= 4096
    head, first, *_ = message.text.splitlines()
    assert head == (
        f"🔴 Told late: {count + 1:,} changes from 2026-11-23 02:10 UTC to 2026-11-23 11:10 UTC"
    )
    assert first == "🔴 11:10 – The microservice does not work: sending has stopped"
    assert ("that do not fit" in message.text) == (count > 100)


def test_a_condition_that_came_and_went_is_one_line() -> None:
    hour = timedelta(hours=1)
    changes = [
        change(Kind.OUTAGE, "began"),
        change(Kind.PARKED, "began", at=AT + hour / 2),
        change(Kind.OUTAGE, "lasts", at=AT + hour),
        change(Kind.OUTAGE, "ended", at=AT + 2 * hour, seconds=7200),
        change(Kind.FAILED, "happened", at=AT + 2 * hour),
        change(Kind.FAILED, "happened", at=AT + 3 * hour),
    ]
    text = catalogue("ru").merged(changes, NAMES).text
    assert text.startswith(
        "🟡 Сообщаем с опозданием: 6 событий с 2026-11-23 02:10 UTC по 2026-11-23 05:10 UTC\n"
        "🟡 02:40 – Микросервис не принимает аккаунт «Ирина»\n"
        "🟡 04:10 – Не отправлены, и попыток больше не будет: 6 строк\n"
        "🟢 02:10 – Микросервис не работал 2 ч\n"
        "\nПодробности:\n"
        "\n🟡 Микросервис не принимает аккаунт «Ирина»\n"
    )


def test_buttons_are_offered_only_where_they_may_be_pressed() -> None:
    failed, parked = change(Kind.FAILED, "happened"), change(Kind.PARKED, "lasts")
    assert catalogue("en").message([failed], NAMES).buttons == ()
    words = catalogue("en", with_buttons=True)
    assert [
        [(button.label, button.action) for button in row]
        for each in (failed, parked)
        for row in words.message([each], NAMES).buttons
    ] == [
        [("Send these again", "retry:7"), ("No messages for an hour", "mute:7")],
        [("Try now", "probe:7")],
    ]
    ended = change(Kind.PARKED, "ended")
    unknown = dataclasses.replace(failed, id=None)
    for each in (ended, unknown, change(Kind.OUTAGE, "began")):
        assert words.message([each], NAMES).buttons == ()


def test_what_was_done_is_told_and_not_offered_again() -> None:
    act = {"act": "retry", "rows": 2, "by": "@ann", "at": AT.isoformat()}
    done = change(Kind.FAILED, "happened", acts=[act])
    message = catalogue("en", with_buttons=True).message([done], NAMES)
    assert message.text.endswith("\n✓ Sent again: 2 rows. By @ann, 2026-11-23 02:10 UTC.")
    assert [[button.action for button in row] for row in message.buttons] == [["mute:7"]]


def png_size(picture: bytes | None) -> tuple[int, int]:
    assert picture is not None
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    return width, height


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("rows", [0, 1, 10**9])
def test_a_daily_report_has_a_picture_of_the_day(language: Language, rows: int) -> None:
    hours = [{"hour": hour, "rows_completed": rows, "due_rows": None} for hour in range(24)]
    message = catalogue(language).message(
        [change(Kind.DAILY_REPORT, "happened", hours=hours)], NAMES
    )
    assert png_size(message.picture) == (1050, 900)
    assert len(message.picture or b"") < 200_000
    assert units(message.text) <= 1024


def test_odd_hours_are_left_out_of_it() -> None:
    hours = [{"hour": -1, "rows_completed": 1}, {"hour": "x"}, {"hour": 99}, None, 7]
    report = change(Kind.DAILY_REPORT, "happened", hours=hours)
    assert png_size(catalogue("en").message([report], NAMES).picture) == (1050, 900)


def test_without_the_extra_it_is_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    report = change(Kind.DAILY_REPORT, "happened", hours=HOURS)
    message = catalogue("en").message([report], NAMES)
    assert message.picture is None
    assert "Sent: 1,204 orders, 1,941 rows" in message.text


def test_drawing_leaves_nothing_of_itself_behind() -> None:
    catalogue("en").message([change(Kind.DAILY_REPORT, "happened", hours=HOURS)], NAMES)
    assert "matplotlib.pyplot" not in sys.modules


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """All templates of a language, by where they stand."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}[{key}]")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), f"{path}.{field.name}")


def test_both_languages_have_the_same_templates_with_the_same_fields() -> None:
    russian, english = (dict(leaves(LANGUAGES[language])) for language in ("ru", "en"))
    assert russian.keys() == english.keys()
    for path, template in english.items():
        fields = [
            [name for _, name, _, _ in string.Formatter().parse(each) if name]
            for each in (template, russian[path])
        ]
        assert sorted(fields[0]) == sorted(fields[1]), path


def test_a_noun_has_two_forms_in_english_and_three_in_russian() -> None:
    for language, forms in (("ru", 3), ("en", 2)):
        for path, template in leaves(LANGUAGES[language]):
            for _, _, form, _ in string.Formatter().parse(template):
                if form and "|" in form:
                    assert len(form.split("|")) == forms, path


def test_every_word_is_said_somewhere() -> None:
    folder = Path(alerts.__file__).parent.parent
    code = "\n".join(
        file.read_text("utf-8")
        for room in ("alerts", "bot")
        for file in (folder / room).glob("*")
        if file.suffix == ".py"
    )
    for words in (
        type(LANGUAGES["ru"]),
        *(type(getattr(LANGUAGES["ru"], n)) for n in ("bot", "plot")),
    ):
        for field in dataclasses.fields(words):
            assert re.search(rf"\.{field.name}\b", code), field.name


def test_russian_has_no_english_in_it_and_english_no_russian() -> None:
    for path, template in leaves(LANGUAGES["en"]):
        assert not re.search("[а-яё]", template, re.IGNORECASE), path
    allowed = {"stocksync", "status", "retry", "ID", "UTC", "STOCK_SYNC_MICROSERVICE_JWT"}
    allowed |= {"systemd", "failed", "reconcile", "help"}
    for path, template in leaves(LANGUAGES["ru"]):
        plain = re.sub(r"{.*?}", "", template)
        assert set(re.findall("[A-Za-z_]{2,}", plain)) <= allowed, path


def test_every_language_of_the_setting_has_a_catalogue() -> None:
    named = get_args(Telegram.model_fields["language"].annotation)
    assert set(named) == set(LANGUAGES)
    assert (
        len(
            {
                catalogue(language).message([change(Kind.FAILED, "happened")], NAMES).text
                for language in named
            }
        )
        == 2
    )
