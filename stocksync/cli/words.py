"""Words: what --help says of the command and of each verb, with examples to paste."""

from dataclasses import dataclass

DESCRIPTION = "Carries stock operations from the outbox to the microservice."

_CODES = {
    0: "0 done",
    1: "1 failed",
    2: "2 usage",
    3: "3 no such operation",
    4: "4 not possible in its status",
    69: "69 database or service unreachable",
    78: "78 configuration or schema",
    130: "130 interrupted",
}


def _codes(*codes: int) -> str:
    first, *others = (_CODES[code] for code in codes)
    lines = [f"exit codes: {first}"]
    for each in others:
        if len(lines[-1]) + len(each) > 76:  # noqa: PLR2004 - a line fits into 80 columns
            lines[-1] += ","
            lines.append(each)
        else:
            lines[-1] += f", {each}"
    return "\n".join(lines)


EPILOG = f"""\
examples:
  stocksync demo                        see it at work; nothing to configure
  stocksync migrate && stocksync run    start the daemon
  stocksync status                      does it flow? what waits, who works
  stocksync show --order ORDER          why is this order not synchronised?
  stocksync COMMAND --help              more, with examples

Settings come from the environment: STOCK_SYNC_DATABASE_URL and others (README,
"Settings").

{_codes(*_CODES)}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What there is to say of a verb."""

    summary: str
    more: str = ""
    """Continues the summary."""
    examples: str
    codes: tuple[int, ...]

    @property
    def epilog(self) -> str:
        """What stands below the options."""
        return f"examples:\n{self.examples}\n\n{_codes(*self.codes)}"


VERBS = {
    "run": Verb(
        summary="Run the daemon.",
        more="""

It waits for a database that is not up yet, and needs the tables of this
version: run `stocksync migrate` before, or give --migrate.

settings: STOCK_SYNC_DATABASE_URL, STOCK_SYNC_MICROSERVICE_URL and either
STOCK_SYNC_MICROSERVICE_JWT or STOCK_SYNC_MICROSERVICE_JWT_SECRET together with
STOCK_SYNC_MICROSERVICE_JWT_USER_ID; all others have defaults (README,
"Settings").

signals: SIGTERM and SIGINT finish what is in flight within
STOCK_SYNC_SHUTDOWN_GRACE_SECONDS and give back the rest; a second one ends it
at once.""",
        examples="""\
  stocksync run
  stocksync run --migrate --env-file /etc/stocksync.env""",
        codes=(0, 1, 2, 78),
    ),
    "migrate": Verb(
        summary="Create the tables, or bring them up to date.",
        more="\n\nTwice is a no-op; many at once are safe.",
        examples="""\
  stocksync migrate --dry-run
  stocksync migrate
  stocksync migrate --dry-run --with-foreign-keys""",
        codes=(0, 1, 2, 69, 78, 130),
    ),
    "status": Verb(
        summary="How the outbox stands: the verdict, its reasons, and the numbers.",
        more="""

verdict:
  OK        rows flow
  DEGRADED  something is not as it should be, and rows flow or will again by
            themselves: an outage of the service, a parked account, a pause,
            a deaf listener. Restarting the daemon does not help
  STALLED   rows may be claimed and nothing happens, or no daemon is there

The exit code is 0 whatever the verdict: scripts read `verdict` of --json.""",
        examples="""\
  stocksync status
  stocksync status --json | grep '"verdict"'""",
        codes=(0, 2, 69, 78, 130),
    ),
    "list": Verb(
        summary="List operations, newest first.",
        examples="""\
  stocksync list --status failed
  stocksync list --status pending --token 0a1b2c3d-0000-4000-8000-000000000001
  stocksync list --order ORDER-1 --json
  stocksync list --limit 100 --offset 100""",
        codes=(0, 2, 69, 78, 130),
    ),
    "show": Verb(
        summary="Tell an operation's story, or how an order stands.",
        more="""

An order's flag at the service is asked with this shell's settings; the
daemon's may be others. Without them, or when the service is silent, all the
rest is shown.""",
        examples="""\
  stocksync show 6f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b
  stocksync show --order ORDER-1
  stocksync show --order ORDER-1 --json""",
        codes=(0, 2, 3, 69, 78, 130),
    ),
    "retry": Verb(
        summary="Try pending or failed operations again now; all of them or none.",
        more="\n\nTheir retries count from 0 again.",
        examples="""\
  stocksync list --status failed
  stocksync retry 6f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b""",
        codes=(0, 2, 3, 4, 69, 78, 130),
    ),
    "cancel": Verb(
        summary="Cancel pending or failed operations; all of them or none.",
        more="""

They leave their orders' sums, and the orders are pushed again. Nobody can take
it back.""",
        examples="""\
  stocksync cancel 6f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b --reason 'entered twice'""",
        codes=(0, 2, 3, 4, 69, 78, 130),
    ),
    "pause": Verb(
        summary="Claim nothing for a while: planned maintenance.",
        more="""

Rows are kept and flow again when it ends, which it does by itself. A pause that
lasts already is replaced. What is in flight is finished. `status` says who
paused until when.""",
        examples="""\
  stocksync pause --minutes 30
  stocksync pause --token 0a1b2c3d-0000-4000-8000-000000000001""",
        codes=(0, 2, 69, 78, 130),
    ),
    "resume": Verb(
        summary="End a pause now.",
        more="""

Without --token the pause of everything; an account's own pause remains.""",
        examples="""\
  stocksync resume
  stocksync resume --token 0a1b2c3d-0000-4000-8000-000000000001""",
        codes=(0, 2, 69, 78, 130),
    ),
    "demo": Verb(
        summary="Show everything at work on this machine; nothing to configure.",
        more="""

A throw-away Postgres, a stand-in microservice, orders, the real daemon, an
outage and its recovery; it ends by itself and leaves nothing behind. Needs the
extra: pip install 'stocksync[demo]'.""",
        examples="""\
  stocksync demo
  stocksync demo --orders 3000 --json""",
        codes=(0, 1, 2, 130),
    ),
}
