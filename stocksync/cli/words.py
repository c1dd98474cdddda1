"""Words: what --help says of the command and of each verb, with examples to paste."""

from dataclasses import dataclass

from stocksync.cli.helping import GLUE

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
    said = ", ".join(_CODES[code].replace(" ", GLUE, 1) for code in codes)
    return f"exit codes: {said}"


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

The exit code is 0 whatever the verdict: scripts read `verdict` of --json.

--watch shows it on the whole terminal, with the last half hour as small curves,
and goes on by itself when the database was away; Ctrl-C ends it. Not on a
terminal it writes one block after the other. What is completed and cancelled is
not counted then: that would take a look at every row, every two seconds.""",
        examples="""\
  stocksync status
  stocksync status --watch
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
        more="""

Their retries count from 0 again.

With --failed: all operations that have failed, or those of an account, or those
whose error has TEXT in it. Without --yes they are only counted, nothing is
changed, and the exit code is 2, unless there are none. With it they are changed
in batches of 500, each all or none; Ctrl-C ends it between two, and what was
done is said. What fails again meanwhile is not retried once more.""",
        examples="""\
  stocksync list --status failed
  stocksync retry 6f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b
  stocksync retry --failed --error '422 '
  stocksync retry --failed --token 0a1b2c3d-0000-4000-8000-000000000001 --yes""",
        codes=(0, 2, 3, 4, 69, 78, 130),
    ),
    "cancel": Verb(
        summary="Cancel pending or failed operations; all of them or none.",
        more="""

They leave their orders' sums, and the orders are pushed again. Nobody can take
it back.

With --failed: all operations that have failed, or those of an account, or those
whose error has TEXT in it. Without --yes they are only counted, nothing is
changed, and the exit code is 2, unless there are none. With it they are changed
in batches of 500, each all or none; Ctrl-C ends it between two, and what was
done is said.""",
        examples="""\
  stocksync cancel 6f1c2a34-5b6d-4e7f-8a9b-0c1d2e3f4a5b --reason 'entered twice'
  stocksync cancel --failed --error 'unknown order' --reason 'never sold'
  stocksync cancel --failed --error 'unknown order' --reason 'never sold' --yes""",
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
    "notify": Verb(
        summary="Send a message to on-call, now.",
        more="""

It goes to STOCK_SYNC_TELEGRAM_CRITICAL_CHAT_ID, also during a mute, and needs
neither the database nor a daemon: for systemd's OnFailure=, a cron job, a
deployment. 69 is Telegram unreachable, 78 a wrong token or chat; nothing is
tried twice.""",
        examples="""\
  stocksync notify 'deployment of 1.4 begins'
  stocksync notify 'the backup of db-1 failed'
  stocksync notify --failed stocksync.service""",
        codes=(0, 1, 2, 69, 78, 130),
    ),
    "mute": Verb(
        summary="No Telegram messages for a while, of any daemon.",
        more="""

What happens meanwhile is told at its end, in one message. A mute that lasts
already is replaced. `status` says who muted until when.""",
        examples="""\
  stocksync mute
  stocksync mute --minutes 30""",
        codes=(0, 2, 69, 78, 130),
    ),
    "unmute": Verb(
        summary="End a mute now, and hear what happened meanwhile.",
        examples="""\
  stocksync unmute""",
        codes=(0, 2, 69, 78, 130),
    ),
    "reconcile": Verb(
        summary="Compare the flags of both sides now, and repair what is wrong.",
        more="""

It reads the flag of every order settled within
STOCK_SYNC_RECONCILIATION_AUTO_FIX_THRESHOLD_HOURS, whenever it was read last,
and of one batch of older ones, a few at a time. A wrong young one is pushed
again by the daemon; an older one is only told.

With --dry-run nothing is changed here. (Reading alone makes the microservice
keep a flag, false, of an order that it has none of.)

69: the service could not be believed, said after how many orders; what was
compared before is shown all the same.""",
        examples="""\
  stocksync reconcile --dry-run
  stocksync reconcile --token 0a1b2c3d-0000-4000-8000-000000000001
  stocksync reconcile --json""",
        codes=(0, 2, 69, 78, 130),
    ),
    "cleanup": Verb(
        summary="Delete orders that are over and old now; the daemon does it daily.",
        more="""

Whole orders, with their history: completed and cancelled rows after
STOCK_SYNC_CLEANUP_COMPLETED_DAYS, failed ones after
STOCK_SYNC_CLEANUP_FAILED_DAYS. What an order came to is carried over, so that a
late refund is still right. Small batches with rests: safe while everything
works, and to be interrupted at any time. The days are those of this shell's
settings; the daemon's may be others.""",
        examples="""\
  stocksync cleanup --dry-run
  stocksync cleanup --json""",
        codes=(0, 2, 69, 78, 130),
    ),
    "check": Verb(
        summary="Ask once for everything that a daemon needs; one line each.",
        more="""

settings, database, schema, microservice, credentials, Telegram. It changes
nothing, and sends no message.""",
        examples="""\
  stocksync check
  stocksync check --env-file /etc/stocksync/settings.env --json""",
        codes=(0, 2, 69, 78, 130),
    ),
    "grants": Verb(
        summary="Print the least that each database role needs, as GRANTs.",
        more="""

Whoever owns the tables runs them; twice is a no-op. The roles must be there.
The producer may insert rows and nothing else; the daemon changes rows and no
table; the reader looks.""",
        examples="""\
  stocksync grants --producer shop --daemon stocksync --reader ops | psql shop
  stocksync grants --reader grafana""",
        codes=(0, 2, 78),
    ),
    "systemd-unit": Verb(
        summary="Print a hardened systemd unit for this installation.",
        more="""

  settings: /etc/stocksync/settings.env, lines STOCK_SYNC_NAME=value
  secrets:  /etc/stocksync/credentials/, a file for each, named like the setting
            without STOCK_SYNC_: database_url, microservice_jwt_secret, ...""",
        examples="""\
  cd /etc/systemd/system
  stocksync systemd-unit > stocksync.service
  stocksync systemd-unit --failure > stocksync-failure@.service
  systemctl daemon-reload && systemctl enable --now stocksync""",
        codes=(0, 2),
    ),
    "dashboards": Verb(
        summary="Print a Grafana dashboard, or Prometheus' alert rules.",
        more="""

They are made for what /metrics of the daemon says (README, "Metrics").""",
        examples="""\
  stocksync dashboards > stocksync.json      import it in Grafana
  stocksync dashboards --alerts > /etc/prometheus/rules/stocksync.yaml""",
        codes=(0, 2),
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
