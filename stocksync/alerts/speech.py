"""Speech: templates with numbers, times and plurals, spoken in a language.

A template is text with fields: `{error}` is a value as it is, `{rows:row|rows}` a number with its
noun in the form that fits, `{seconds:span}` a length of time, `{share:%}` a percentage, `{at:time}`
a time in UTC. Values are never read as templates.
"""

from datetime import UTC, datetime
from string import Formatter

from stocksync.alerts.words import Words
from stocksync.message import Bold, Code, Part

# Nobody asks for the seconds of ten minutes.
WITHOUT_SECONDS = 600
# Below this, a tenth counts.
FEW_SECONDS = 9.95
# Per cent.
NEARLY_NONE, NEARLY_ALL, ALL = 10, 90, 100

Value = str | int | float | datetime | Bold | Code


class Speech:
    """Says templates in the language of `words`."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def parts(self, template: str, /, **values: Value) -> tuple[Part, ...]:
        """The template with its values; those that stand out or can be copied stay so."""
        said: list[Part] = []
        for literal, name, form, _ in Formatter().parse(template):
            said.append(literal)
            if name is not None:
                value = values[name]
                said.append(
                    value if isinstance(value, Bold | Code) else self._value(value, form or "")
                )
        return tuple(part for part in said if part)

    def text(self, template: str, /, **values: Value) -> str:
        """The template with its values, as plain text."""
        parts = self.parts(template, **values)
        return "".join(part if isinstance(part, str) else part.text for part in parts)

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with the language's marks for thousands and decimals."""
        whole, _, fraction = f"{value:,.{decimals}f}".partition(".")
        whole = whole.replace(",", self.words.thousands).replace("-", "−")
        return f"{whole}{self.words.decimal}{fraction}" if fraction else whole

    def span(self, seconds: float) -> str:
        """A length of time in its two largest units: `2 h 15 min`."""
        days, hours, minutes, secs = self.words.units
        if 0 < seconds < FEW_SECONDS and seconds != round(seconds):
            return f"{self.number(max(seconds, 0.1), 1)} {secs}"
        left = max(round(seconds), 0)
        if left >= WITHOUT_SECONDS:
            left = round(left / 60) * 60
        parts = []
        for unit, name in ((86_400, days), (3600, hours), (60, minutes), (1, secs)):
            count, left = divmod(left, unit)
            if count:
                parts.append(f"{self.number(count)} {name}")
            elif parts:
                break
        return " ".join(parts[:2]) or f"0 {secs}"

    def share(self, share: float) -> str:
        """A percentage; near none and all with a decimal: neither of them unless it is exact."""
        percent = 100 * share
        is_near = 0 < percent < NEARLY_NONE or NEARLY_ALL < percent < ALL
        shown = min(max(round(percent, 1), 0.1), 99.9) if is_near else round(percent)
        return self.words.percent.replace("#", self.number(shown, int(shown != round(shown))))

    def time(self, at: datetime) -> str:
        """A time in UTC, to the minute."""
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    def _value(self, value: str | float | datetime, form: str) -> str:
        match value:
            case str():
                return value
            case datetime():
                return self.time(value)
        match form:
            case "span":
                return self.span(value)
            case "%":
                return self.share(value)
            case "":
                return self.number(value)
        noun = form.split("|")[self.words.plural(abs(int(value)))]
        return f"{self.number(value)} {noun}"
