"""The image's recipe: linted, and agreeing with what is let into its build."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
RECIPE = (CHECKOUT / "Dockerfile").read_text()
HADOLINT = Path(sys.executable).parent / "hadolint"


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint has no wheel for this machine")
def test_the_linter_has_nothing_to_say() -> None:
    ended = subprocess.run(
        [HADOLINT, "--no-color", CHECKOUT / "Dockerfile"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_what_is_copied_in_exists_and_is_let_in() -> None:
    let_in = {
        line.removeprefix("!").rstrip("/")
        for line in (CHECKOUT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied: set[str] = set()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", RECIPE, flags=re.MULTILINE):
        copied.update(sources.split())
    assert copied == let_in
    assert all((CHECKOUT / name).exists() for name in copied)


def test_what_may_hold_secrets_stays_out_wherever_it_lies() -> None:
    rules = (CHECKOUT / ".dockerignore").read_text().splitlines()
    last_let_in = max(number for number, rule in enumerate(rules) if rule.startswith("!"))
    # The last rule that fits decides.
    assert {"**/.*", "**/*.env", "**/__pycache__/"} <= set(rules[last_let_in:])


def test_it_runs_as_a_user_that_is_provably_not_root() -> None:
    last_stage = RECIPE.rpartition("FROM ")[2]
    users = re.findall(r"^USER (\d+):(\d+)$", last_stage, flags=re.MULTILINE)
    assert users
    assert all(int(uid) > 0 and int(gid) > 0 for uid, gid in users)
