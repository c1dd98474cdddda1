"""The README is true of the code, as far as a machine can tell."""

import re
from pathlib import Path

from stocksync import settings

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| (.*?) \| (.*) \|$", README, re.MULTILINE)
    assert rows == [
        (each.name.removeprefix(settings.PREFIX), each.default, each.description)
        for each in settings.describe()
    ]


def test_sections_that_the_code_names_exist() -> None:
    code = "\n".join(
        file.read_text("utf-8")
        for file in (Path(__file__).parent.parent / "stocksync").rglob("*.py")
    )
    named = set(re.findall(r"README[:,]\s+\"([^\"]+?),?\"", code))
    headings = {line.lstrip("# ") for line in README.splitlines() if line.startswith("#")}
    assert named <= headings
    assert named
