"""Plot: the day in a picture, rows sent and rows waiting per hour. matplotlib's home."""

import logging
from collections.abc import Sequence
from io import BytesIO

from stocksync.alerts.facts import Facts
from stocksync.alerts.speech import Speech
from stocksync.telemetry import get_logger

log = get_logger()

HOURS = 24
# 1050 × 900 pixels with letters that a phone's width leaves readable.
INCHES, DOTS_PER_INCH = (7.0, 6.0), 150
SENT, WAITING, INK, GRID = "#2a7ab5", "#e0862b", "#222222", "#dddddd"


def plot(hours: Sequence[Facts], *, day: str, speech: Speech) -> bytes | None:
    """A PNG of `hours` (hour, rows_completed, due_rows); None: without matplotlib, or no hours.

    Takes a second the first time.
    """
    if not hours:
        return None
    # A home that cannot be written to, or a font cache that is built, is nobody's concern.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        # Late, for the picture alone: half a second and 60 MB.
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - see above
        from matplotlib.figure import Figure  # noqa: PLC0415 - see above
        from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415 - see above
    except ImportError:
        log.info("alerts.no_plot", reason="the extra stocksync[plot] is not installed")
        return None
    words = speech.words.plot
    figure = Figure(
        figsize=INCHES, dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
    )
    FigureCanvasAgg(figure)  # draws without a display, and makes itself the figure's canvas
    figure.suptitle(speech.text(words.title, day=day), fontsize=17, color=INK)
    panels = figure.subplots(2, 1, sharex=True)
    for panel, name, title, colour in (
        (panels[0], "rows_completed", words.completed, SENT),
        (panels[1], "due_rows", words.waiting, WAITING),
    ):
        heights = [0] * HOURS
        for each in hours:
            if 0 <= each.count("hour") < HOURS:
                heights[each.count("hour")] = max(each.count(name), 0)
        panel.bar(range(HOURS), heights, width=0.85, align="edge", color=colour, zorder=2)
        panel.set_title(title, fontsize=15, loc="left", color=INK)
        panel.set_ylim(0, max(*heights, 1) * 1.1)
        panel.locator_params(axis="y", nbins=4, integer=True)
        panel.yaxis.set_major_formatter(lambda value, _: speech.number(value))
        panel.tick_params(labelsize=13, colors=INK, length=0)
        panel.grid(axis="y", color=GRID, zorder=1)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[1].set_xlim(0, HOURS)
    panels[1].set_xticks(range(0, HOURS + 1, 3))
    panels[1].set_xlabel(words.hours, fontsize=13, color=INK)
    picture = BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
