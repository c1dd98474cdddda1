"""The verbs, by name: each in a room of its own, which is imported when its verb is asked for."""

import asyncio
from argparse import Namespace
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, cast

Verb = Callable[[Namespace], Coroutine[Any, Any, int | None] | int]

# A status that pages somebody is asked for every minute: it does not wait for the microservice's
# client, nor for all that a daemon is.
_ROOMS = {
    "run": ("running", "run"),
    "migrate": ("migrating", "migrate"),
    "status": ("standing", "status"),
    "list": ("asking", "list_operations"),
    "show": ("asking", "show_one"),
    "retry": ("acting", "retry"),
    "cancel": ("acting", "cancel"),
    "mute": ("messaging", "mute"),
    "unmute": ("messaging", "unmute"),
    "notify": ("messaging", "notify"),
    "pause": ("pausing", "pause"),
    "resume": ("pausing", "resume"),
    "reconcile": ("reconciling", "reconcile"),
    "cleanup": ("cleaning", "clean_up"),
    "check": ("checking", "check"),
    "grants": ("printing", "print_grants"),
    "systemd-unit": ("printing", "print_unit"),
    "dashboards": ("printing", "print_dashboard"),
    "demo": ("demonstrating", "demonstrate"),
}


def perform(arguments: Namespace) -> int:
    """Do what the arguments say; gives the exit code."""
    performed = verb(arguments.verb)(arguments)
    # None: done.
    return performed if isinstance(performed, int) else asyncio.run(performed) or 0


def verb(name: str) -> Verb:
    """What performs this verb."""
    room, function = _ROOMS[name]
    return cast("Verb", getattr(import_module(f"stocksync.cli.{room}"), function))
