"""Texts: what `status --watch` draws: `status`, and the last half hour as small curves."""

from collections.abc import Sequence

from stocksync.cli.layout import hanging, utc
from stocksync.cli.sparkline import sparkline
from stocksync.cli.texts_of_status import numbers, said, works
from stocksync.operations import Minute
from stocksync.verdict import Standing

# The present minute has hardly begun: a rate over less than this says nothing.
_LEAST_SECONDS = 5.0
_WIDEST_CURVE, _LEAST_CURVE = 30, 8
# What stands beside a curve.
_BESIDE_CURVE = 36


def frame(standing: Standing, minutes: Sequence[Minute], *, room: int, encoding: str) -> list[str]:
    """Lines, the first one the verdict and the time."""
    head = [headline(standing)]
    for each in said(standing):
        head += hanging("  ", each, room=room).splitlines()
    above = numbers(standing)
    below = works(standing)
    curves = _curves(standing, minutes)
    labels = [label for label, _ in (*above, *below)] + [label for label, *_ in curves]
    widest = max(map(len, labels))
    curve_room = max(min(_WIDEST_CURVE, room - widest - 4 - _BESIDE_CURVE), _LEAST_CURVE)
    drawn = [
        (label, f"{sparkline(values, room=curve_room, encoding=encoding)}  {text}".strip())
        for label, values, text in curves
    ]
    return [
        *head,
        "",
        *(_line(label, text, widest) for label, text in (*above, *drawn) if text is not None),
        "",
        *(_line(label, text, widest) for label, text in below if text is not None),
    ]


def headline(standing: Standing) -> str:
    """The verdict, and of when it is."""
    return f"{standing.verdict}  {utc(standing.numbers.now)} UTC"


def _curves(
    standing: Standing, minutes: Sequence[Minute]
) -> list[tuple[str, list[float | None], str]]:
    now = standing.numbers.now
    rates: list[float | None] = [
        each.rows_completed / max(min((now - each.minute).total_seconds(), 60.0), _LEAST_SECONDS)
        for each in minutes
    ]
    most = max((rate for rate in rates if rate is not None), default=0.0)
    means = [each.mean_push_ms for each in minutes]
    timed = [mean for mean in means if mean is not None]
    slowest = max((each.slowest_push_ms or 0 for each in minutes), default=0)
    return [
        ("rate", rates, f"{rates[-1] or 0:.1f} rows/s, {most:.1f} at most"),
        (
            "latency",
            list(means),
            f"{timed[-1]:.0f} ms, {slowest} ms the slowest" if timed else "nothing was pushed",
        ),
    ]


def _line(label: str, text: str, widest: int) -> str:
    return f"  {label.ljust(widest)}  {text}"
