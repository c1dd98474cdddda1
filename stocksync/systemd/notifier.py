"""Notifier: the words that systemd waits for, over its datagram socket (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping
from typing import Self

from stocksync.telemetry import get_logger

log = get_logger()


class Notifier:
    """Says READY, STATUS, WATCHDOG and STOPPING; without systemd around, nothing.

    `watchdog_seconds`: systemd ends us after so long without a word (None: it does not watch).
    A word that cannot be said is logged once and stops nobody.
    """

    def __init__(self, *, address: str | None, watchdog_seconds: float | None = None) -> None:
        # An abstract socket is written with an @ and begins with a NUL.
        self._address = "\0" + address[1:] if address and address[0] == "@" else address
        self._has_failed = False
        self.watchdog_seconds = watchdog_seconds if address else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """As systemd started us: NOTIFY_SOCKET, and WATCHDOG_USEC where it is meant for us."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        has_watchdog = microseconds.isascii() and microseconds.isdigit() and is_for_us
        return cls(
            address=environ.get("NOTIFY_SOCKET"),
            watchdog_seconds=int(microseconds) / 1e6 if has_watchdog else None,
        )

    def ready(self) -> None:
        """We are up: units that wait for us may start."""
        self._say("READY=1")

    def stopping(self) -> None:
        """We end on purpose."""
        self._say("STOPPING=1")

    def watchdog(self) -> None:
        """We got on: do not end us."""
        self._say("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._say("STATUS=" + " ".join(text.split()))

    def _say(self, word: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                # A socket that nobody reads shall not hold us up.
                sock.settimeout(0)
                sock.sendto(word.encode(), self._address)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                log.warning("systemd.not_told", reason=str(error))
