"""What a program imports, seen from inside a fresh interpreter."""

import subprocess
import sys
from collections.abc import Mapping


def imported(program: str, *modules: str, environment: Mapping[str, str] | None = None) -> set[str]:
    """Which of these modules are there when the program has run."""
    told = f"print(); print(*{set(modules)!r} & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; {told}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(said.stdout.splitlines()[-1].split())
