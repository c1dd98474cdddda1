"""Health: whether the daemon of these settings answers; `python -m stocksync.cli.health`.

The image asks it. No verb, for it says nothing that `check` and `status` do not say better; and it
knows no --env-file.
"""

import sys
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address

from stocksync import settings
from stocksync.cli.codes import DONE, FAILED
from stocksync.model import SettingsError

SECONDS = 5.0


def main() -> int:
    """Ask `/healthz` once; gives 0 or 1, and says why in a line."""
    try:
        group = settings.load(settings.Http)[settings.Http]
        # By hand: what finds its own way finds a proxy of the environment, too.
        connection = HTTPConnection(_reached_at(group.http_host), group.http_port, timeout=SECONDS)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = f"{answer.status} {answer.reason}"
        is_healthy = answer.status == 200  # noqa: PLR2004 - HTTP's own
        connection.close()
    except (SettingsError, OSError, HTTPException) as error:
        said, is_healthy = str(error) or type(error).__name__, False
    sys.stdout.write(f"{said}\n")
    return DONE if is_healthy else FAILED


def _reached_at(host: str) -> str:
    """Where one asks what listens there: everywhere is, from here, the loopback."""
    try:
        address = ip_address(host)
    except ValueError:  # a name
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - IP's own


if __name__ == "__main__":
    raise SystemExit(main())
