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
        "error": "422 refused: sku" if number < 2 else "500 error in the service",
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
        "hours": 6,
    },
    Kind.PARKED: {"reason": "404 token not accepted: Токен", "waiting_rows": 1, "seconds": 95},
    Kind.STALLED: {
        "reasons": ["rows due: 5"],
        "due_rows": 5,
        "oldest_due_seconds": 190,
        "quiet_seconds": 125,
        "seconds": 300,
    },
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
        "refused": 2,
        "failed_now": 12,
        "errors": [
            {"error": "422 refused: sku", "count": 2, "orders": 2},
            {"error": "500 error in the service", "count": 1, "orders": 1},
        ],
        "accounts": [
            {"token_id": ACCOUNT, "count": 2},
            {"token_id": OTHER_ACCOUNT, "count": 1},
        ],
        "examples": EXAMPLES,
        "operation_ids": [each["operation_id"] for each in EXAMPLES],
    },
    Kind.NEGATIVE: {"count": 1, "examples": EXAMPLES[1:2]},
    Kind.DISCREPANCIES: {
        "found": 3,
        "repaired": 1,
        "left": 1,
        "given_up": 1,
        "hours": 24,
        "examples": EXAMPLES,
    },
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


def opened_by(*pushes: tuple[str, Said, str]) -> str:
    circuit = ServiceCircuit(has_proven=True)
    for number, (account, kind, reason) in enumerate(pushes):
        seen = Seen(account=account, order=str(number), kind=kind, reason=reason)
        circuit = circuit.fed(seen, failures=2)
    assert circuit.reason is not None
    return circuit.reason


def flapping() -> str:
    """The reason of a circuit that more failures than proofs opened."""
    circuit = ServiceCircuit(has_proven=True)
    for number in range(30):
        kind = Said.PROVEN if number % 3 == 2 else Said.FAILED
        seen = Seen(account="a", order=str(number), kind=kind, reason="500")
        circuit = circuit.fed(seen, failures=5)
        if circuit.reason is not None:
            return circuit.reason
    raise AssertionError


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
    # Operations are what people know; rows are the tables' affair.
    assert not re.search(r"\brows?\b|строк|by itself|сам[аио]?\b", message.text)
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
        "В очереди: 121 операция.\n"
        "Ничего не потеряно: stocksync проверяет связь не реже одного раза в 30 секунд и отправит "
        "всё автоматически, когда микросервис заработает; до тех пор флаги этих заказов в "
        "микросервисе могут быть устаревшими. Пока микросервис не работает, попытки не "
        "расходуются.\n"
        "Что делать: восстановить работу микросервиса; перезапуск stocksync не поможет.\n"
        "Текущее состояние:\n"
        "stocksync status"
    )


def test_its_end_says_how_long_it_was_and_what_waited() -> None:
    assert told(Kind.OUTAGE, "ended", waiting_rows=2000) == (
        "🟢 The microservice is back up\n"
        "It was down for 2 h 15 min, until 2026-11-23 02:10 UTC.\n"
        "Built up in the queue: 2,000 operations; now being sent automatically.\n"
        "No action needed."
    )


REJECTED = opened_by(("a", Said.CREDENTIALS, "401 credentials refused: Not validated"))
KNOWS_NOBODY = opened_by(("a", Said.TOKEN, "404"), ("b", Said.TOKEN, "404"))


def test_a_rejected_key_is_called_so_and_its_reason_is_said_once() -> None:
    assert told(Kind.OUTAGE, "began", reason=REJECTED, lines={}) == (
        "🔴 The microservice rejects stocksync's key: sending has stopped\n"
        "Since 2026-11-23 02:10 UTC.\n"
        "Reason: 401: Not validated\n"
        "Waiting in the queue: 121 operations.\n"
        "Nothing is lost, and no retries are used up: once the key is corrected and stocksync "
        "restarted, everything is sent automatically. Until then the microservice's flags for "
        "these orders may be out of date.\n"
        "What to do: correct the key in stocksync's settings: either STOCK_SYNC_MICROSERVICE_JWT, "
        "or STOCK_SYNC_MICROSERVICE_JWT_SECRET (the same secret as the microservice's) and "
        "STOCK_SYNC_MICROSERVICE_JWT_USER_ID. Then restart stocksync. With systemd:\n"
        "systemctl restart stocksync\n"
        "Current status:\n"
        "stocksync status"
    )
    assert told(Kind.OUTAGE, "lasts", "ru", reason=REJECTED).startswith(
        "🔴 Микросервис всё ещё не принимает ключ stocksync, уже 2 ч 15 мин\n"
    )
    assert told(Kind.OUTAGE, "ended", "ru", reason=REJECTED).startswith(
        "🟢 Микросервис снова принимает ключ stocksync\nНе принимал ключ 2 ч 15 мин, до "
    )


@pytest.mark.parametrize(
    ("reason", "began", "lasts", "ended", "lasted"),
    [
        (
            KNOWS_NOBODY,
            "The microservice finds none of the accounts: sending has stopped",
            "The microservice still finds none of the accounts, for 2 h 15 min now",
            "The microservice finds the accounts again",
            "It found none of them for 2 h 15 min, until 2026-11-23 02:10 UTC.",
        ),
        (
            flapping(),
            "Sending has stopped: the microservice fails too often",
            "The microservice still fails too often, for 2 h 15 min now",
            "The microservice works again",
            "It failed too often for 2 h 15 min, until 2026-11-23 02:10 UTC.",
        ),
        (
            "no connection: refused",
            "The microservice is down: sending has stopped",
            "The microservice is still down, for 2 h 15 min now",
            "The microservice is back up",
            "It was down for 2 h 15 min, until 2026-11-23 02:10 UTC.",
        ),
    ],
    ids=["knows_nobody", "flaps", "is_down"],
)
def test_what_an_outage_is_called_depends_on_its_reason(
    reason: str, began: str, lasts: str, ended: str, lasted: str
) -> None:
    assert told(Kind.OUTAGE, "began", reason=reason).startswith(f"🔴 {began}\n")
    assert told(Kind.OUTAGE, "lasts", reason=reason).startswith(f"🔴 {lasts}\n")
    assert told(Kind.OUTAGE, "ended", reason=reason).startswith(f"🟢 {ended}\n{lasted}\n")


def test_when_no_account_is_known_all_is_sent_once_the_cause_is_fixed() -> None:
    assert (
        "\nNothing is lost: once the cause is fixed, everything is sent automatically; until then "
        "the microservice's flags for these orders may be out of date.\n"
    ) in told(Kind.OUTAGE, "began", reason=KNOWS_NOBODY)


@pytest.mark.parametrize("reason", [REJECTED, KNOWS_NOBODY, flapping(), "no connection: refused"])
def test_both_languages_say_the_same_of_every_outage(reason: str) -> None:
    for phase in ("began", "lasts", "ended"):
        russian, english = (
            told(Kind.OUTAGE, phase, language, reason=reason) for language in get_args(Language)
        )
        assert sorted(re.findall(r"\d+", russian)) == sorted(re.findall(r"\d+", english))
        assert len(russian.splitlines()) == len(english.splitlines())


def test_what_follows_from_an_outage_is_a_part_of_its_message() -> None:
    text = told(Kind.OUTAGE, "lasts")
    assert text.startswith(
        "🔴 The microservice is still down, for 2 h 15 min now\nSince 2026-11-22 23:55 UTC.\n"
    )
    assert (
        "Effects so far:\n• the queue is above the alert threshold\n"
        "• unsent for more than 6 hours: 12 operations\n"
        "• nothing has been sent for 1 h 7 min\n"
    ) in text
    assert "Effects" not in told(Kind.OUTAGE, "lasts", lines={})


def test_a_standstill_is_told_in_numbers_of_its_language() -> None:
    assert told(Kind.STALLED, "began", "ru") == (
        "🔴 Отправка стоит: операции ждут, ни одна не отправляется\n"
        "Замечено: 2026-11-23 02:10 UTC.\n"
        "Готово к отправке: 5 операций.\n"
        "Первая в очереди ждёт 3 мин 10 с.\n"
        "Ничего не отправлено уже 2 мин 5 с.\n"
        "Микросервис ни при чём: проблема в stocksync или в его базе данных. Ничего не потеряно.\n"
        "Пока они не отправлены, флаги этих заказов в микросервисе могут быть устаревшими.\n"
        "Что делать:\n"
        "1. Посмотреть причину:\n"
        "stocksync status\n"
        "2. Перезапустить stocksync (это безопасно). Под systemd:\n"
        "systemctl restart stocksync\n"
        "3. Если не помогло, проверить базу данных stocksync."
    )


@pytest.mark.parametrize(
    ("oldest_seconds", "takes_seconds", "head", "line"),
    [
        (95, 300, "1,501 operations\n", "\nAt the current rate the queue clears in 5 min.\n"),
        (95, None, "1,501 operations, nothing is being sent\n", "waiting 1 min 35 s.\nNothing"),
        (None, 0, "1,501 operations\n", "1,000.\nNo operation is due to be sent yet.\n"),
    ],
    ids=["flows", "stands", "not_due"],
)
def test_a_backlog_says_how_it_moves(
    oldest_seconds: int | None, takes_seconds: int | None, head: str, line: str
) -> None:
    text = told(
        Kind.BACKLOG, "began", oldest_due_seconds=oldest_seconds, backlog_seconds=takes_seconds
    )
    assert text.startswith(f"🟡 The queue is too long: {head}")
    assert line in text


def test_rows_that_failed_are_told_with_the_command_that_sends_them_again() -> None:
    message = catalogue("en").message([change(Kind.FAILED, "happened")], NAMES)
    assert message.text == (
        "🟡 Given up, no more automatic attempts: 3 operations\n"
        "Refused by the microservice: 2 operations.\n"
        "All retries used up: 1 operation.\n"
        "Needing manual action in total: 12 operations.\n"
        "Accounts: “Ирина” – 2, 0a1b2c3d… – 1\n"
        "• 2 operations: 422 refused: sku\n"
        "Orders: ORDER-0 (0a1b2c3d…), ORDER-1 (“Ирина”)\n"
        "• 1 operation: 500 error in the service\n"
        "Orders: ORDER-2 (“Ирина”)\n"
        "The operations are kept; the microservice's flags for these orders may be out of date.\n"
        "Sending again is safe, but will fail again until the cause is fixed.\n"
        "What to do: fix the cause, then send them again:\n"
        f"stocksync retry {ID.format(0)} {ID.format(1)} {ID.format(2)}"
    )
    assert Code("ORDER-1") in message.parts


def test_when_they_are_many_they_are_counted_and_the_commands_are_of_all() -> None:
    text = told(
        Kind.FAILED,
        "happened",
        count=40,
        accounts=[{"token_id": ACCOUNT, "count": 40}],
        errors=[{"error": "422 refused: sku", "count": 30, "orders": 20}],
        operation_ids=["id"] * 40,
    )
    assert "• 30 operations: 422 refused: sku\nOrders: ORDER-0 (0a1b2c3d…), ORDER-1" in text
    assert "…and 18 more orders\n• …and 10 more operations\n" in text
    assert text.endswith(
        f"\nstocksync list --status failed --token={ACCOUNT}\n"
        "Then send all of them again (the command shows how many; with --yes it sends):\n"
        f"stocksync retry --failed --token={ACCOUNT}"
    )


def test_without_counts_the_examples_are_counted() -> None:
    facts = {"count": 7, "examples": EXAMPLES, "failed_now": 7}
    failed = Change(at=AT, kind=Kind.FAILED, phase=Phase.HAPPENED, facts=facts)
    text = catalogue("en").message([failed], NAMES).text
    assert text.startswith(
        "🟡 Given up, no more automatic attempts: 7 operations\n"
        "• 2 operations: 422 refused: sku\n"
        "Orders: ORDER-0 (0a1b2c3d…), ORDER-1 (“Ирина”)\n"
        "• 1 operation: 500 error in the service\n"
        "Orders: ORDER-2 (“Ирина”)\n"
        "• …and 4 more operations\n"
        "The operations are kept;"
    )


def test_several_of_a_kind_are_one_statement() -> None:
    one = change(Kind.FAILED, "happened")
    text = catalogue("en").message([one, one], NAMES).text
    assert text.startswith("🟡 Given up, no more automatic attempts: 6 operations\n")
    assert "“Ирина” – 4" in text
    assert text.count("• 4 operations: 422 refused: sku\n") == 1
    parked = [change(Kind.PARKED, "began"), change(Kind.PARKED, "began", token_id=OTHER_ACCOUNT)]
    text = catalogue("ru").message(parked, NAMES).text
    assert text.startswith("🟡 Микросервис не принимает 2 аккаунта\n")
    assert (
        f"• «Ирина», {ACCOUNT}: в очереди 1 операция\n• {OTHER_ACCOUNT}: в очереди 1 операция\n"
    ) in text


def test_what_needs_a_decision_is_counted_and_shown_first() -> None:
    acts = ["repaired"] * 5 + ["given_up"]
    examples = [
        {**EXAMPLES[1], "order_id": f"ORDER-{number}", "act": act}
        for number, act in enumerate(acts)
    ]
    facts: dict[str, Any] = {"found": 6, "repaired": 5, "left": 0, "given_up": 1}
    text = told(Kind.DISCREPANCIES, "happened", **facts, examples=examples)
    assert text.startswith(
        "🟡 stocksync's and the microservice's flags differ, decision needed: 1 order\n"
    )
    [first, *others] = [line for line in text.splitlines() if line.startswith("• ")]
    assert first == (
        "• order ORDER-5, “Ирина”: stocksync “deducted”, microservice “not deducted”; "
        "correction stopped"
    )
    assert len(others) == 4
    assert f"\nstocksync show --order=ORDER-5 --token={ACCOUNT}\n" in text


def test_a_notice_is_in_its_own_words() -> None:
    message = catalogue("ru").message([change(Kind.NOTICE, "happened")], NAMES)
    assert message.parts[:2] == ("🔵 ", Bold("the unit failed\nsee the journal"))
    assert message.text.endswith("\nСообщение от root@db1, 2026-11-23 02:10 UTC")


def test_a_crash_is_told_with_both_commands_on_lines_of_their_own() -> None:
    unit = "stocksync@shop.service"
    crash = change(Kind.NOTICE, "happened", unit=unit, host="db1", text=None)
    assert catalogue("en").message([crash], NAMES).text == (
        "🔴 stocksync on db1 has crashed and will not restart on its own (stocksync@shop.service)\n"
        "Until it is started again it sends nothing, and no other alerts may come. Nothing is "
        "lost.\n"
        "What to do: see the cause:\n"
        "systemctl status stocksync@shop.service\n"
        "Fix it, then restart:\n"
        "systemctl restart stocksync@shop.service"
    )
    hostile = change(Kind.NOTICE, "happened", unit="x; reboot", host="db1")
    for command in commands(catalogue("ru").message([hostile], NAMES)):
        assert shlex.split(command)[2:] == ["x; reboot"]


def test_a_condition_that_lasts_is_told_as_it_stands_now() -> None:
    changes = [change(Kind.BACKLOG, "lasts", pending=n, backlog_seconds=9) for n in (2000, 3000)]
    text = catalogue("en").message(changes, NAMES).text
    assert text.startswith("🟡 The queue is still too long, for 30 min now: 3,000 operations\n")
    assert "2,000" not in text


def test_a_backlog_that_lasts_was_waited_for_long_enough() -> None:
    began, lasts = (told(Kind.BACKLOG, phase) for phase in ("began", "lasts"))
    assert "What to do: if the queue has not shrunk in 10 min, see what holds it up:\n" in began
    assert "What to do: see what holds it up:\n" in lasts


def test_a_negative_order_is_told_with_what_corrects_it() -> None:
    text = told(Kind.NEGATIVE, "happened", "ru")
    assert text.startswith("🟡 Возвращено больше, чем списано: 1 заказ\n")
    assert text.endswith(
        f"\nstocksync show --order=ORDER-1 --token={ACCOUNT}\n"
        "Если ошибка в операциях stocksync: добавить операцию adjustment, которая её исправит."
    )


@pytest.mark.parametrize(
    ("reason", "said", "act"),
    [
        (REJECTED, "401: Not validated", "correct the key in stocksync's settings"),
        (
            KNOWS_NOBODY,
            "404",
            "restore that connection, or correct the setting",
        ),
        (
            ServiceCircuit(in_a_row=1).told(is_healthy=False, says="database error").reason,
            "/health: database error",
            "restore that connection; restarting",
        ),
        (
            opened_by(("a", Said.FAILED, "no answer"), ("b", Said.FAILED, "x")),
            "x",
            "bring the microservice back up",
        ),
        (
            flapping(),
            "more than half of the last 20 attempts failed; error: 500",
            "find the cause in the microservice's log",
        ),
    ],
)
def test_what_to_do_in_an_outage_depends_on_its_reason(reason: str, said: str, act: str) -> None:
    text = told(Kind.OUTAGE, "began", reason=reason)
    assert f"\nReason: {said}\n" in text
    assert f"What to do: {act}" in text


def test_our_own_words_for_a_reason_are_said_in_russian_too() -> None:
    assert "\nПричина: не удалось больше половины последних 20 попыток; ошибка: 500\n" in told(
        Kind.OUTAGE, "began", "ru", reason=flapping()
    )
    assert "\nПричина: 404: Токен\n" in told(Kind.PARKED, "began", "ru")


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
    assert f"\nstocksync list --token={ACCOUNT}\n" in text
    quoted = told(Kind.NEGATIVE, "happened", examples=[hostile | {"order_id": "$(reboot) '"}])
    *_, command, _ = quoted.splitlines()
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
    head = message.text.splitlines()[0]
    assert head == (
        f"🔴 Delayed: {count + 1:,} events from 2026-11-23 02:10 UTC to 2026-11-23 11:10 UTC"
    )
    assert (
        "\n\nStill going on:\n🔴 11:10 UTC – The microservice is down: sending has stopped\n"
        in (message.text)
    )
    assert ("no room for" in message.text) == (count > 100)


HOUR = timedelta(hours=1)


def test_what_lasts_comes_first_and_what_came_and_went_is_one_line() -> None:
    changes = [
        change(Kind.OUTAGE, "began"),
        change(Kind.PARKED, "began", at=AT + HOUR / 2),
        change(Kind.OUTAGE, "lasts", at=AT + HOUR),
        change(Kind.OUTAGE, "ended", at=AT + 2 * HOUR, seconds=7200),
        change(Kind.FAILED, "happened", at=AT + 2 * HOUR),
        change(Kind.FAILED, "happened", at=AT + 3 * HOUR),
        change(Kind.NOTICE, "happened", at=AT + 3 * HOUR),
    ]
    text = catalogue("ru").merged(changes, NAMES).text
    assert text.startswith(
        "🟡 С опозданием: 7 событий с 2026-11-23 02:10 UTC по 2026-11-23 05:10 UTC\n"
        "Доставить вовремя не удалось: Telegram был недоступен, сообщения были отключены или их "
        "было слишком много сразу.\n"
        "Строк меньше, чем событий: повторы, а также начало и конец, собраны в одну строку.\n"
        "\nПродолжается:\n"
        "🟡 02:40 UTC – Микросервис не принимает аккаунт «Ирина»\n"
        "\nТребует ручного вмешательства:\n"
        "🟡 04:10 UTC – Автоматических попыток больше не будет: 6 операций\n"
        "\nЗакончилось или для сведения:\n"
        "🔵 05:10 UTC – Сообщение: the unit failed see the journal\n"
        "🟢 02:10 UTC – Микросервис не работал 2 ч\n"
        "\nПодробности о том, что не закончилось:\n"
        "\n🟡 Микросервис не принимает аккаунт «Ирина» (на 02:40 UTC)\n"
    )
    assert "больше не будет: 6 операций (на 05:10 UTC)\n" in text
    assert text.count("Микросервис не работал") == 1


def test_times_have_their_day_when_there_are_several_and_nothing_folded_is_not_said() -> None:
    changes = [change(Kind.BACKLOG, "began"), change(Kind.STALE, "began", at=AT + 24 * HOUR)]
    text = catalogue("en").merged(changes, NAMES).text
    assert "🟡 2026-11-23 02:10 UTC – The queue is too long" in text
    assert "(as of 2026-11-24 02:10 UTC)" in text
    assert "Lines are fewer" not in text


def test_of_what_is_over_there_are_no_details() -> None:
    changes = [change(Kind.STALLED, "began"), change(Kind.STALLED, "ended", at=AT + HOUR)]
    text = catalogue("en").merged(changes, NAMES).text
    assert text.endswith("\n🟢 02:10 UTC – Sending was stalled for 5 min")


def test_buttons_are_offered_only_where_they_may_be_pressed() -> None:
    failed, parked = change(Kind.FAILED, "happened"), change(Kind.PARKED, "lasts")
    assert catalogue("en").message([failed], NAMES).buttons == ()
    words = catalogue("en", with_buttons=True)
    assert [
        [(button.label, button.action) for button in row]
        for each in (failed, parked)
        for row in words.message([each], NAMES).buttons
    ] == [
        [("Resend these 3", "retry:7"), ("Mute ALL messages for 1 h", "mute:7")],
        [("Retry now", "probe:7")],
    ]
    ended = change(Kind.PARKED, "ended")
    unknown = dataclasses.replace(failed, id=None)
    for each in (ended, unknown, change(Kind.OUTAGE, "began")):
        assert words.message([each], NAMES).buttons == ()


def test_what_was_done_is_told_and_not_offered_again() -> None:
    act = {"act": "retry", "rows": 2, "by": "@ann", "at": AT.isoformat()}
    done = change(Kind.FAILED, "happened", acts=[act])
    message = catalogue("en", with_buttons=True).message([done], NAMES)
    assert message.text.endswith(
        "\n✓ Being sent again: 2 operations. By @ann, 2026-11-23 02:10 UTC."
    )
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
    assert "Sent: 1,204 orders, 1,941 operations" in message.text


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


def headline_templates() -> Iterator[str]:
    words = LANGUAGES["en"]
    for headlines in (*words.conditions.values(), *words.outages.values()):
        yield headlines.began
    yield from (text for kind, text in words.happened.items() if kind is not Kind.NOTICE)
    yield from (words.discrepancies_left, words.discrepancies_repaired, words.crashed, words.late)


def test_the_readme_explains_every_headline_in_its_own_words() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    table = readme.partition("### What on-call is told")[2].partition("###")[0]
    told = re.findall(r"^\| [🔴🟡🟢🔵 ]*\| (.+?) \|", table, re.MULTILINE)
    for template in headline_templates():
        says = "".join(
            re.escape(literal) + (".*" if field is not None else "")
            for literal, field, _, _ in string.Formatter().parse(template)
        )
        assert [each for each in told if re.fullmatch(says, each)], template


def test_russian_has_no_english_in_it_and_english_no_russian() -> None:
    for path, template in leaves(LANGUAGES["en"]):
        assert not re.search("[а-яё]", template, re.IGNORECASE), path
    allowed = {"stocksync", "status", "retry", "ID", "UTC", "STOCK_SYNC_MICROSERVICE_JWT"}
    allowed |= {"STOCK_SYNC_MICROSERVICE_JWT_SECRET", "STOCK_SYNC_MICROSERVICE_JWT_USER_ID"}
    allowed |= {"systemd", "failed", "reconcile", "help", "yes", "adjustment", "Telegram"}
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
