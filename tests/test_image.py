"""The image's recipe: linted, and agreeing with what is let into its build."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.daemons import running_daemon
from tests.service import running_stand_in

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


@contextmanager
def answering(host: str, port: int = 0, *, status: int = 200) -> Iterator[int]:
    """Something that listens there as a daemon does, and answers every question with the status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def health(**environment: str) -> tuple[int, str]:
    """What the health check exits with and says: its very command, where these are set."""
    [command] = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.+)$", RECIPE, flags=re.MULTILINE)
    ended = subprocess.run(
        json.loads(command),
        cwd="/",
        env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_its_health_is_not_asked_through_a_proxy(name: str) -> None:
    with answering("127.0.0.1") as port:
        assert health(STOCK_SYNC_HTTP_PORT=str(port), **{name: "http://127.0.0.1:1"}) == (
            0,
            "200 OK\n",
        )


def test_its_health_is_asked_at_the_address_and_the_usual_port() -> None:
    # One of the loopback's that nothing else is at.
    with answering("127.91.8.1", 9108):
        assert health(STOCK_SYNC_HTTP_HOST="127.91.8.1", STOCK_SYNC_HTTP_PORT="")[0] == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
def test_its_health_is_asked_from_within_wherever_it_listens(host: str) -> None:
    with answering("127.0.0.1") as port:
        assert health(STOCK_SYNC_HTTP_HOST=host, STOCK_SYNC_HTTP_PORT=str(port))[0] == 0


def test_its_health_is_asked_as_the_credentials_say(tmp_path: Path) -> None:
    with answering("127.0.0.1") as port:
        (tmp_path / "stock_sync_http_port").write_text(f"{port}\n")
        assert health(CREDENTIALS_DIRECTORY=str(tmp_path))[0] == 0


def test_what_does_not_answer_well_is_not_healthy() -> None:
    with answering("127.0.0.1", status=503) as port:
        assert health(STOCK_SYNC_HTTP_PORT=str(port)) == (1, "503 Service Unavailable\n")
    assert health(STOCK_SYNC_HTTP_PORT=str(port)) == (1, "[Errno 111] Connection refused\n")
    code, said = health(STOCK_SYNC_HTTP_PORT="many")
    assert (code, said[:20]) == (1, "STOCK_SYNC_HTTP_PORT")


async def test_a_daemon_is_healthy(dsn: str) -> None:
    with answering("127.0.0.1") as port:
        pass  # a port that is free
    async with running_stand_in() as stand_in:
        with running_daemon(dsn, stand_in.url, HTTP_HOST="0.0.0.0", HTTP_PORT=str(port)) as daemon:
            await daemon.until_logged("daemon.started")
            assert health(STOCK_SYNC_HTTP_HOST="0.0.0.0", STOCK_SYNC_HTTP_PORT=str(port))[0] == 0
