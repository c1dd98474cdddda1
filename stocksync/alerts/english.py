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
        Kind.OUTAGE: Headlines(
            began="The microservice does not work: sending has stopped",
            lasts="The microservice still does not work, for {seconds:span} now",
            ended="The microservice works again",
            was="The microservice did not work for {seconds:span}",
        ),
        Kind.PARKED: Headlines(
            began="The microservice does not accept the account {account}",
            lasts="The microservice still does not accept the account {account}, "
            "for {seconds:span} now",
            ended="The microservice accepts the account {account} again",
            was="The microservice did not accept the account {account} for {seconds:span}",
        ),
        Kind.STALLED: Headlines(
            began="Sending stands still: rows wait, and none goes out",
            lasts="Sending still stands still, for {seconds:span} now",
            ended="Sending goes on",
            was="Sending stood still for {seconds:span}",
        ),
        Kind.BACKLOG: Headlines(
            began="The queue is too long: {pending:row|rows}",
            lasts="The queue is still too long, for {seconds:span} now: {pending:row|rows}",
            ended="The queue is short again: {pending:row|rows}, the limit is {limit}",
            was="The queue was too long for {seconds:span}",
        ),
        Kind.STALE: Headlines(
            began="Not sent for more than {hours:hour|hours}: {count:row|rows}",
            lasts="Still not sent for more than {hours:hour|hours}: {count:row|rows}",
            ended="No row waits for too long any more",
            was="Some rows waited for too long; that lasted {seconds:span}",
        ),
        Kind.FAILURE_RATE: Headlines(
            began="Many attempts to send fail: {rate:%} in {minutes:minute|minutes}",
            lasts="Many attempts to send still fail, for {seconds:span} now: {rate:%}",
            ended="Attempts to send succeed again: {rate:%} fail",
            was="Many attempts to send failed; that lasted {seconds:span}",
        ),
    },
    several_parked={
        Phase.BEGAN: "The microservice does not accept {count:account|accounts}",
        Phase.LASTS: "The microservice still does not accept {count:account|accounts}",
        Phase.ENDED: "The microservice accepts {count:account|accounts} again",
    },
    happened={
        Kind.FAILED: "Not sent, and not tried any more: {count:row|rows}",
        Kind.NEGATIVE: "More was given back than deducted: {count:order|orders}",
        Kind.DAILY_REPORT: "Report of {day} (UTC)",
        Kind.NOTICE: "Notice",
    },
    since="Since {at}.",
    noticed="Noticed: {at}.",
    lasted="It lasted {seconds:span}, until {at}.",
    reason="Reason: {reason}",
    most_often="Most often: {error}",
    waiting="Waiting in the queue: {rows:row|rows}.",
    rows_wait="{rows:row waits|rows wait}",
    released="Gathered meanwhile: {rows:row|rows}. They are sent by themselves.",
    nothing_to_do="There is nothing to do.",
    because_of_it="Because of it:",
    follows={
        "backlog": "• the queue is too long: {number:row|rows}",
        "stale": "• not sent for too long: {number:row|rows}",
        "failure_rate": "• attempts that fail: {number:%}",
        "stalled": "• nothing has been sent for {number:span}",
    },
    outage_meaning="The flags “stock deducted” do not reach it. Nothing is lost: stocksync tries "
    "it at least every 30 seconds, and when it works again everything is sent by itself.",
    outage_acts={
        "credentials:": "What to do: the microservice refuses stocksync's key. Correct the "
        "settings STOCK_SYNC_MICROSERVICE_JWT…, then restart stocksync. How it stands:",
        "no account is known": "What to do: the microservice does not find a single account, it "
        "seems to have lost its database. Repair that; restarting stocksync does not help. How it "
        "stands:",
        "/health: database": "What to do: the microservice has lost its database. Repair that; "
        "restarting stocksync does not help. How it stands:",
        "": "What to do: get the microservice to work; restarting stocksync does not help. "
        "How it stands:",
    },
    parked_meaning="Its rows wait, and nothing is lost; other accounts do not wait for it. Once "
    "it is accepted, they are sent by themselves within 30 seconds.",
    several_parked_meaning="Their rows wait, and nothing is lost; other accounts do not wait for "
    "them. Once an account is accepted, its rows are sent by themselves within 30 seconds.",
    parked_act="What to do: see whether the microservice has the token {token}, and whether it "
    "belongs to the right user. How it stands:",
    several_parked_act="What to do: see whether the microservice has these tokens, and whether "
    "they belong to the right user. How it stands:",
    stalled_due="Ready to be sent: {rows:row|rows}.",
    stalled_meaning="The microservice is not to blame: stocksync itself does not get on, or its "
    "database. Nothing is lost.",
    stalled_act="What to do: look at the reasons (the first command), then restart stocksync "
    "wherever it runs (the second one, with systemd). Restarting is safe.",
    backlog_limit="The limit is {limit}.",
    backlog_oldest="The one that could go first has waited for {seconds:span}.",
    backlog_takes="At the present rate it takes {seconds:span} to send them.",
    backlog_stands="At the moment none goes out.",
    backlog_act="What to do: if the number does not fall, see what holds it up:",
    stale_act="What to do: see why the first one waits:",
    failure_rate_counts="Not confirmed by the microservice: {unproven} of {attempts:attempt|"
    "attempts}; the limit is {share:%}.",
    failure_rate_meaning="What failed is tried again by itself.",
    failure_rate_act="What to do: see whether the microservice is well:",
    failed_now="In all, so many need a person now: {count:row|rows}.",
    accounts="Accounts: {accounts}",
    failed_meaning="The microservice refused them, or no retry is left. Nobody sends them any "
    "more unless a person says so.",
    failed_act="What to do: remove the cause, then send them again:",
    failed_act_many="What to do: remove the cause, then “stocksync retry ID…”. This lists them:",
    negative_meaning="The microservice is told “not deducted”. Perhaps something was given back "
    "twice, or a deduction was never recorded.",
    negative_act="What to do: compare the order's rows with the sale:",
    discrepancies_repaired="The microservice held wrong flags: {count:order|orders}; repaired",
    discrepancies_left="The microservice holds wrong flags: {count:order|orders}",
    discrepancies_meaning="The flags “stock deducted” here and at the microservice were compared.",
    discrepancy_acts={
        "repaired": "Sent again, so that they become right: {count:order|orders}.",
        "left": "Left as they are, too old to be repaired unasked: {count:order|orders}.",
        "given_up": "Not repaired any more, because somebody changes them back again and again: "
        "{count:order|orders}.",
    },
    discrepancies_act="What to do: see which side is right, and who else writes there:",
    deducted="deducted",
    not_deducted="not deducted",
    report_pushed="Sent: {orders:order|orders}, {rows:row|rows}",
    report_first_try="At the first attempt: {share:%}",
    report_retries="Retries: {count}",
    report_retry_time="With retries a row took {seconds:span} on average",
    report_failed="Not sent for good: {rows:row|rows} that day; {now} need a person now",
    report_discrepancies="Wrong flags at the microservice: {found} found, {repaired} repaired",
    report_slowest="Slowest account: {account}, {seconds:span} on average over {rows:row|rows}",
    report_act="What to do: look at what was not sent:",
    notice_by="By {by}, {at}",
    example="• order {order}, {account}",
    example_since="since {at}",
    example_balance="deducted less given back: {balance}",
    example_flags="should be “{wanted}”, was “{found}”",
    example_acts={
        "repaired": "sent again",
        "left": "left as it is",
        "given_up": "not repaired any more",
    },
    late="Told late: {count:change|changes} from {first} to {last}",
    late_details="Details:",
    left_out="… and {count:line|lines} that do not fit; all of it: stocksync status",
    plot=PlotWords(
        title="{day}, by hours (UTC)",
        completed="Rows sent",
        waiting="Rows waiting",
        hours="hour",
    ),
    bot=BotWords(
        retry="Send these again",
        mute="No messages for an hour",
        probe="Try now",
        probe_account="Try now: {account}",
        help="/status – how it stands\n"
        "/failed – what was not sent and needs a person\n"
        "/retry ID – send this one again\n"
        "/reconcile – compare both sides now\n"
        "/help – this list",
        acts={
            "retry": "Sent again: {rows:row|rows}",
            "mute": "No messages until {until}; what happens is told then",
            "probe": "The account {account} is tried now",
        },
        done_by="✓ {done}. By {by}, {at}.",
        passed_over="Passed over, not waiting for a person any more: {rows:row|rows}",
        not_listed="Not among them: {rows:row|rows} more, see /failed",
        nothing_to_retry="Nothing to do: none of them waits for a person any more",
        muted_already="Nothing to do: there are no messages until {until} anyway",
        not_parked="Nothing to do: the account {account} is accepted again",
        not_known_any_more="Too old: what this message was about is not known any more",
        verdicts={
            "OK": "All is well",
            "DEGRADED": "It works, but not everything is as it should be",
            "STALLED": "Sending stands still",
        },
        status_reason="• {reason}",
        status_rows="In the queue: {pending:row|rows}; being sent: {processing}; "
        "sent in 5 minutes: {lately}",
        status_oldest="The oldest that may go has waited for {seconds:span}",
        status_failed="Not sent for good, waiting for a person: {rows:row|rows}; /failed",
        status_muted="No messages until {until}, by {by}",
        none_failed="Nothing waits for a person",
        failed_how="Once the cause is removed, send one again:",
        reconcile_asked="The flags here and at the microservice are compared now. If one is wrong, "
        "there will be a message",
        reconcile_unknown="Comparing is switched off in the settings. By hand:",
        which_id="Which one? /retry ID; the ids: /failed",
        unknown_command="Not known: {command}",
        unknown_operation="There is no row with this id",
        not_possible="Not possible, nothing was changed: {reason}",
        database_away="The database does not answer, nothing was changed. Please try again in a "
        "minute",
        waits_for_database="The database does not answer. It will be done when it does",
        went_wrong="That went wrong: {reason}",
    ),
)
