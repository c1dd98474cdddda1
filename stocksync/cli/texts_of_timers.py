"""Texts: what the timers and the messages do, for people."""

from datetime import datetime
from typing import Any

from stocksync.cli.layout import count, distance, moment, span
from stocksync.verdict import TelegramSeen, TimerSeen

# What is just being sent is not worth a word.
_UNSENT_SECONDS = 60


def timer(timer: TimerSeen, now: datetime) -> str:
    """Its last turn and the next one."""
    return f"{timer.name}: {_last(timer, now)}; {_next(timer, now)}"


def _last(timer: TimerSeen, now: datetime) -> str:
    if timer.is_running and timer.started_at is not None:
        return f"runs for {span((now - timer.started_at).total_seconds())}, by {timer.runner}"
    if timer.ended_at is None:
        return "no turn yet"
    ended = distance(timer.ended_at, now)
    if timer.error is None:
        return f"done {ended}{_counted(timer.result or {})}"
    last = "never" if timer.succeeded_at is None else distance(timer.succeeded_at, now)
    return f"FAILED {ended}, by {timer.runner}: {timer.error}; it went well {last}"


def _counted(result: dict[str, Any]) -> str:
    counts = {name: value for name, value in result.items() if type(value) is int and value}
    if not counts:
        return ": nothing to do"
    return ": " + ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in counts.items())


def _next(timer: TimerSeen, now: datetime) -> str:
    if timer.is_overdue:
        return f"OVERDUE, its turn was {distance(timer.due_at, now)}"
    return "the next one due" if timer.due_at <= now else f"next {distance(timer.due_at, now)}"


def telegraph(telegram: TelegramSeen, now: datetime) -> str | None:
    """What is to be said of Telegram; None: nothing."""
    words = []
    if telegram.refused is not None:
        since = "" if telegram.refused_at is None else f" {distance(telegram.refused_at, now)}"
        words.append(f"REFUSED{since}: {telegram.refused}")
    if telegram.muted_until is not None:
        words.append(f"muted until {moment(telegram.muted_until, now)}, by {telegram.muted_by}")
    oldest = telegram.oldest_unsent_at
    if oldest is not None and (now - oldest).total_seconds() > _UNSENT_SECONDS:
        change = f"{count(telegram.unsent, 'change')} of state"
        words.append(f"{change} not told yet, the first of {distance(oldest, now)}")
    return "; ".join(words) or None
