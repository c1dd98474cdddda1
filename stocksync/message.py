"""Message: what Telegram shows, as parts that need no escaping. No I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bold:
    """Text that stands out."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be copied with a touch: an id, a command."""

    text: str


Part = str | Bold | Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """Something that may be done about it."""

    label: str
    action: str
    """What comes back when it is pressed; Telegram takes 64 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Text in parts, perhaps buttons in rows, perhaps a picture (PNG) that it is the caption of."""

    parts: tuple[Part, ...]
    buttons: tuple[tuple[Button, ...], ...] = ()
    picture: bytes | None = None

    @property
    def text(self) -> str:
        """All parts as plain text."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


def units(text: str) -> int:
    """Its length as Telegram counts it: in UTF-16 units, of which an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
