"""Units: what `stocksync systemd-unit` prints, with the path of this installation in it."""

from enum import StrEnum
from pathlib import Path


class Unit(StrEnum):
    """Which unit file; its name under /etc/systemd/system."""

    SERVICE = "stocksync.service"
    TEMPLATE = "stocksync@.service"
    FAILURE = "stocksync-failure@.service"
    DROP_IN = "stocksync.service.d/local.conf"


_FILES = {
    Unit.SERVICE: "service.txt",
    Unit.TEMPLATE: "service.txt",
    Unit.FAILURE: "failure.txt",
    Unit.DROP_IN: "drop_in.txt",
}


def unit(which: Unit, *, executable: Path) -> str:
    """The text of a unit that runs `executable`, the absolute path of the command `stocksync`."""
    text = (Path(__file__).parent / _FILES[which]).read_text("utf-8")
    # Several instances, each with settings of its own.
    instance = "-%i" if which is Unit.TEMPLATE else ""
    for name, value in {
        "name": which.value,
        # It stands in quotes: it may have blanks. A $ in it is one, unlike in the words that follow
        # (systemd.service(5), "COMMAND LINES").
        "executable": str(executable).replace("%", "%%"),
        "instance": instance,
        "of_instance": " %i" if which is Unit.TEMPLATE else "",
    }.items():
        text = text.replace(f"{{{name}}}", value)
    return text
