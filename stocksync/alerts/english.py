"""English: words only."""

from stocksync.alerts.words import BotWords, Headlines, PlotWords, Words
from stocksync.changes import Kind, Phase

ENGLISH = Words(
    plural=lambda number: 0 if number == 1 else 1,
    thousands=",",
    decimal=".",
    percent="#%",
    units=("d", "h", "min", "s"),
    quoted="“#”",
    conditions={
        Kind.PARKED: Headlines(
            began="The microservice does not accept the account {account}",
            lasts="The microservice still does not accept the account {account}, "
            "for {seconds:span} now",
            ended="The microservice accepts the account {account} again",
            was="The microservice did not accept the account {account} for {seconds:span}",
            lasted="It was not accepted for {seconds:span}, until {at}.",
        ),
        Kind.STALLED: Headlines(
            began="Sending is stalled: operations are waiting, none is being sent",
            lasts="Sending is still stalled, for {seconds:span} now",
            ended="Sending has resumed",
            was="Sending was stalled for {seconds:span}",
            lasted="Sending was stalled for {seconds:span}, until {at}.",
        ),
        Kind.BACKLOG: Headlines(
            began="The queue is too long: {pending:operation|operations}{stands}",
            lasts="The queue is still too long, for {seconds:span} now: "
            "{pending:operation|operations}{stands}",
            ended="The queue is short again: {pending:operation|operations} "
            "(alert threshold {limit})",
            was="The queue was too long for {seconds:span}",
            lasted="The problem lasted {seconds:span}, until {at}.",
        ),
        Kind.STALE: Headlines(
            began="Unsent for more than {hours:hour|hours}: {count:operation|operations}",
            lasts="Still unsent for more than {hours:hour|hours}: {count:operation|operations}",
            ended="No operation is waiting for too long any more",
            was="Some operations waited for too long; that problem lasted {seconds:span}",
            lasted="The problem lasted {seconds:span}, until {at}.",
        ),
        Kind.FAILURE_RATE: Headlines(
            began="Many failed attempts to send: {rate:%} in the last {minutes} min",
            lasts="Still many failed attempts to send, for {seconds:span} now: {rate:%} in the "
            "last {minutes} min",
            ended="Failure rate back to normal: {rate:%} (threshold {threshold:%})",
            was="Many attempts to send failed; that problem lasted {seconds:span}",
            lasted="The problem lasted {seconds:span}, until {at}.",
        ),
    },
    outages={
        "credentials:": Headlines(
            began="The microservice rejects stocksync's key: sending has stopped",
            lasts="The microservice still rejects stocksync's key, for {seconds:span} now",
            ended="The microservice accepts stocksync's key again",
            was="The microservice rejected stocksync's key for {seconds:span}",
            lasted="It rejected the key for {seconds:span}, until {at}.",
        ),
        "no account is known": Headlines(
            began="The microservice finds none of the accounts: sending has stopped",
            lasts="The microservice still finds none of the accounts, for {seconds:span} now",
            ended="The microservice finds the accounts again",
            was="The microservice found none of the accounts for {seconds:span}",
            lasted="It found none of them for {seconds:span}, until {at}.",
        ),
        "more than half of the last": Headlines(
            began="Sending has stopped: the microservice fails too often",
            lasts="The microservice still fails too often, for {seconds:span} now",
            ended="The microservice works again",
            was="The microservice failed too often for {seconds:span}",
            lasted="It failed too often for {seconds:span}, until {at}.",
        ),
        "": Headlines(
            began="The microservice is down: sending has stopped",
            lasts="The microservice is still down, for {seconds:span} now",
            ended="The microservice is back up",
            was="The microservice was down for {seconds:span}",
            lasted="It was down for {seconds:span}, until {at}.",
        ),
    },
    several_parked={
        Phase.BEGAN: "The microservice does not accept {count:account|accounts}",
        Phase.LASTS: "The microservice still does not accept {count:account|accounts}",
        Phase.ENDED: "The microservice accepts {count:account|accounts} again",
    },
    happened={
        Kind.FAILED: "Given up, no more automatic attempts: {count:operation|operations}",
        Kind.NEGATIVE: "More returned to stock than deducted: {count:order|orders}",
        Kind.DAILY_REPORT: "Report for {day} (UTC)",
        Kind.NOTICE: "Notice: {text}",
    },
    since="Since {at}.",
    noticed="Noticed: {at}.",
    reason="Reason: {reason}",
    reasons={
        "credentials: ": "{reason}",
        "no account is known to it any more: ": "{reason}",
        "more than half of the last 20 pushes failed: ": "more than half of the last 20 attempts "
        "failed; error: {reason}",
    },
    most_often="Most often: {error}",
    waiting="Waiting in the queue: {rows:operation|operations}.",
    rows_wait="{rows:operation|operations} in the queue",
    next_in_line="The next one in line has been waiting {seconds:span}.",
    released="Built up in the queue: {rows:operation|operations}; now being sent automatically.",
    is_safe="Nothing is lost: stocksync keeps trying automatically.",
    until_sent="Until they are sent, the microservice's flags for these orders may be out of date.",
    nothing_to_do="No action needed.",
    current_status="Current status:",
    effects="Effects so far:",
    follows={
        "backlog": "• the queue is above the alert threshold",
        "stale": "• unsent for more than {hours:hour|hours}: {number:operation|operations}",
        "stalled": "• nothing has been sent for {number:span}",
    },
    outage_meanings={
        "credentials:": "Nothing is lost, and no retries are used up: once the key is corrected "
        "and stocksync restarted, everything is sent automatically. Until then the microservice's "
        "flags for these orders may be out of date.",
        "no account is known": "Nothing is lost: once the cause is fixed, everything is sent "
        "automatically; until then the microservice's flags for these orders may be out of date.",
        "": "Nothing is lost: stocksync checks the connection at least once every 30 seconds and "
        "sends everything automatically once the microservice is back; until then the "
        "microservice's flags for these orders may be out of date. Retries are not used up during "
        "an outage.",
    },
    outage_acts={
        "credentials:": "What to do: correct the key in stocksync's settings: either "
        "STOCK_SYNC_MICROSERVICE_JWT, or STOCK_SYNC_MICROSERVICE_JWT_SECRET (the same secret as "
        "the microservice's) and STOCK_SYNC_MICROSERVICE_JWT_USER_ID. Then restart stocksync. With "
        "systemd:",
        "no account is known": "Most likely the microservice cannot reach its database, or "
        "stocksync's key names the wrong user "
        "(STOCK_SYNC_MICROSERVICE_JWT_USER_ID). What to do: restore that connection, or correct "
        "the setting and restart stocksync.",
        "more than half of the last": "What to do: find the cause in the microservice's log and "
        "fix it; restarting stocksync will not help.",
        "/health: database": "The microservice cannot reach its database. What to do: restore that "
        "connection; restarting stocksync will not help.",
        "": "What to do: bring the microservice back up; restarting stocksync will not help.",
    },
    parked_meaning="Nothing is lost. Other accounts' operations are sent as usual. Once the "
    "microservice accepts this account, sending starts automatically within 30 seconds; until then "
    "the microservice's flags for these orders may be out of date.",
    several_parked_meaning="Nothing is lost. Other accounts' operations are sent as usual. Once "
    "the microservice accepts one of these, its sending starts automatically within 30 seconds; "
    "until then the microservice's flags for these orders may be out of date.",
    parked_act="What to do: check that the microservice has this account's token (an identifier, "
    "not a secret) and that it belongs to the user named in stocksync's key "
    "(STOCK_SYNC_MICROSERVICE_JWT_USER_ID). Token:\n{token}",
    several_parked_act="What to do: check that the microservice has the tokens of these accounts "
    "(identifiers, not secrets) and that they belong to the user named in stocksync's key "
    "(STOCK_SYNC_MICROSERVICE_JWT_USER_ID).",
    stalled_due="Ready to be sent: {rows:operation|operations}.",
    stalled_quiet="Nothing has been sent for {seconds:span}.",
    stalled_meaning="The microservice is not the cause: the problem is in stocksync or its "
    "database. Nothing is lost.",
    stalled_look="What to do:\n1. See the cause:",
    stalled_restart="2. Restart stocksync (this is safe). With systemd:",
    stalled_else="3. If that does not help, check stocksync's database.",
    alert_threshold="Alert threshold: {limit}.",
    nothing_is_sent=", nothing is being sent",
    backlog_takes="At the current rate the queue clears in {seconds:span}.",
    backlog_not_due="No operation is due to be sent yet.",
    backlog_acts={
        Phase.BEGAN: "What to do: if the queue has not shrunk in 10 min, see what holds it up:",
        Phase.LASTS: "What to do: see what holds it up:",
    },
    stale_oldest="The oldest since {at}.",
    stale_act="What to do: see why the oldest one is waiting:",
    failure_rate_counts="Not confirmed by the microservice: {unproven} of {attempts:attempt|"
    "attempts} (alert threshold {share:%}).",
    failure_rate_meaning="Nothing is lost. Failed attempts are retried automatically; refused "
    "operations are not, and are reported separately.",
    failure_rate_act="What to do: check whether the microservice is healthy:",
    refused="Refused by the microservice: {count:operation|operations}.",
    used_up="All retries used up: {count:operation|operations}.",
    failed_now="Needing manual action in total: {count:operation|operations}.",
    accounts="Accounts: {accounts}",
    failed_meaning="The operations are kept; the microservice's flags for these orders may be out "
    "of date.",
    failed_again="Sending again is safe, but will fail again until the cause is fixed.",
    failed_act="What to do: fix the cause, then send them again:",
    failed_act_many="What to do: see all such operations and fix the cause:",
    failed_then_many="Then send all of them again (the command shows how many; with --yes it "
    "sends):",
    negative_meaning="The flag “stock not deducted” was sent. Perhaps a return was recorded twice, "
    "or a deduction was not recorded.",
    negative_act="What to do: compare stocksync's operations with this order's stock movements in "
    "the order system:",
    negative_correct="If stocksync's operations are wrong: add an adjustment operation that "
    "corrects them.",
    discrepancies_repaired="The microservice had wrong flags: {count:order|orders}, corrected",
    discrepancies_left="stocksync's and the microservice's flags differ, decision needed: "
    "{count:order|orders}",
    discrepancies_meaning="stocksync compared its “stock deducted” flags with the microservice's.",
    discrepancies_too_old="Not corrected automatically (settled more than {hours:hour|hours} ago): "
    "{count:order|orders}.",
    discrepancy_acts={
        "left": "Not corrected automatically (settled too long ago): {count:order|orders}.",
        "given_up": "Correction stopped, the flag was changed back three times (by another program "
        "or a person): {count:order|orders}.",
        "repaired": "Corrected, the right flag was sent again: {count:order|orders}.",
    },
    discrepancies_act="What to do: see for each order which side is right; the first one:",
    discrepancies_correct="If stocksync is right: add two adjustment operations to the order, +1 "
    "and −1, and its flag is sent again. If the microservice is right: add one that makes "
    "“deducted minus returned” correct. The microservice's log shows who else changes the flag.",
    deducted="deducted",
    not_deducted="not deducted",
    report_pushed="Sent: {orders:order|orders}, {rows:operation|operations}",
    report_first_try="On the first attempt: {share:%}",
    report_retries="Retries: {count}",
    report_retry_time="Operations that needed a retry: {seconds:span} on average, from queueing to "
    "confirmation",
    report_failed="Operations given up that day: {rows}; needing manual action now: {now}",
    report_discrepancies="Wrong flags at the microservice: found {found}, corrected {repaired}",
    report_slowest="Slowest account: {account}, {seconds:span} on average "
    "({rows:operation|operations})",
    report_act="What to do: see what was given up:",
    notice="Notice",
    notice_by="Notice by {by}, {at}",
    crashed="stocksync on {host} has crashed and will not restart on its own ({unit})",
    crashed_meaning="Until it is started again it sends nothing, and no other alerts may come. "
    "Nothing is lost.",
    crashed_look="What to do: see the cause:",
    crashed_restart="Fix it, then restart:",
    example="• order {order}, {account}",
    example_balance="deducted minus returned: {balance} pcs",
    example_flags="stocksync “{wanted}”, microservice “{found}”",
    example_acts={
        "repaired": "corrected",
        "left": "not corrected",
        "given_up": "correction stopped",
    },
    of_error="• {rows:operation|operations}: {error}",
    orders="Orders: ",
    no_error="no error recorded",
    more_orders="…and {count:more order|more orders}",
    more_rows="• …and {count:more operation|more operations}",
    late="Delayed: {count:event|events} from {first} to {last}",
    late_why="They could not be delivered in time: Telegram was unreachable, messages were muted, "
    "or there were too many at once.",
    late_folded="Lines are fewer than events: repeats, and a beginning with its end, are one line.",
    late_parts={
        "lasting": "Still going on:",
        "undecided": "Needs manual action:",
        "over": "Over, or for information:",
    },
    late_details="Details of what is not over:",
    as_of="{title} (as of {at})",
    left_out="… no room for {count:more line|more lines} of text; all of it: stocksync status",
    plot=PlotWords(
        title="{day}, by hours (UTC)",
        completed="Operations sent",
        waiting="Operations waiting",
        hours="hour",
    ),
    bot=BotWords(
        retry="Resend these {count}",
        mute="Mute ALL messages for 1 h",
        probe="Retry now",
        probe_account="Retry now: {account}",
        help="/status – current status\n"
        "/failed – what was given up and needs manual action\n"
        "/retry ID – send this operation again\n"
        "/reconcile – compare the flags of both sides now\n"
        "/help – this list",
        acts={
            "retry": "Being sent again: {rows:operation|operations}",
            "mute": "All messages are muted until {until}; what happens is told then",
            "probe": "The account {account} is being retried now",
        },
        done_by="✓ {done}. By {by}, {at}.",
        passed_over="Left out, no manual action needed any more: {rows:operation|operations}",
        not_listed="Not among them: {rows:more operation|more operations}, see /failed",
        nothing_to_retry="No action needed: none of them needs manual action any more",
        muted_already="No action needed: messages are muted until {until} already",
        not_parked="No action needed: the account {account} is accepted again",
        not_known_any_more="Too old: what this message was about is not known any more",
        verdicts={
            "OK": "All is well",
            "DEGRADED": "It works, but not everything is as it should be",
            "STALLED": "Sending is stalled",
        },
        status_reason="• {reason}",
        status_rows="In the queue: {pending:operation|operations}; being sent: {processing}; "
        "sent in 5 minutes: {lately}",
        status_oldest="The next one in line has been waiting {seconds:span}",
        status_failed="Given up, needing manual action: {rows:operation|operations}; /failed",
        status_muted="All messages are muted until {until}, by {by}",
        none_failed="Nothing needs manual action",
        failed_how="Once the cause is fixed, send one again:",
        reconcile_asked="stocksync's flags and the microservice's are being compared now. If one "
        "is wrong, there will be a message",
        reconcile_unknown="Comparing is switched off in the settings. By hand:",
        which_id="Which one? /retry ID; the ids: /failed",
        unknown_command="Not known: {command}",
        unknown_operation="There is no operation with this id",
        not_possible="Not possible, nothing was changed: {reason}",
        database_away="The database does not answer, nothing was changed. Please try again in a "
        "minute",
        waits_for_database="The database does not answer. It will be done when it does",
        went_wrong="That went wrong: {reason}",
    ),
)
