"use strict";
// The overview: the verdict and why, the numbers, what holds up, who works.

const VERDICTS = {
  OK: ["✓", "Rows flow."],
  DEGRADED: ["!", "Rows flow, or will again by themselves; something is not as it should be."],
  STALLED: ["✕", "Rows are due and nothing happens: somebody is needed now."],
};
// What the owner of the order system wants to see.
const GOAL_FIRST_TRY = 0.99;
const GOAL_RETRIED_SECONDS = 300;
const UNSENT_SECONDS = 60;
const MEND_ACCOUNT = "To mend it: see that the microservice has this account's token, and that the "
  + "token belongs to the JWT's user; its rows then flow by themselves within 30 s.";

function showVerdict(told) {
  const [sign, meaning] = VERDICTS[told.verdict];
  byId("verdict").dataset.verdict = told.verdict;
  say(byId("verdict-sign"), sign);
  say(byId("verdict-word"), told.verdict);
  say(byId("verdict-meaning"), meaning);
  keepLines(byId("reasons"), told.reasons);
  show(byId("reasons"), told.reasons.length > 0);
  // Read out when it changes; the numbers in the reasons would never be silent.
  say(byId("verdict-told"), `The verdict is ${told.verdict}`);
  document.title = `${told.verdict} · stocksync`;
}

function showOverview(told) {
  showNumbers(told.statistics, told.limits);
  showHolding(told.circuits, told.circuits_total);
  show(byId("daemons-none"), told.daemons.length === 0);
  keepCards(byId("daemons"), told.daemons, (daemon) => daemon.name + daemon.started_at, daemonWords);
  show(byId("timers-none"), told.timers.length === 0);
  keepCards(byId("timers"), told.timers, (timer) => timer.name, timerWords);
  keepCards(byId("besides"), besides(told), (each) => each.title, (each) => each);
}

// --- numbers ---

function showNumbers(numbers, limits) {
  keep(byId("numbers"), numbersOf(numbers, limits), ([label]) => label, ([label]) => {
    const [value, note] = [make("dd", { class: "value" }), make("dd", { class: "note" })];
    const node = make("div", {}, make("dt", {}, label), value, note);
    return {
      node,
      update([, shown, remark, isBad]) {
        say(value, shown);
        say(note, `${isBad ? "▲ " : ""}${remark ?? ""}`);
        node.classList.toggle("bad", Boolean(isBad));
      },
    };
  });
}

/** Label, value, what to know of it, and whether it is beyond its limit. */
function numbersOf(numbers, limits) {
  const pushedAgain = numbers.due_orders ? `and ${count(numbers.due_orders, "order")} to push again` : "";
  const next = numbers.next_due_at && !numbers.due_operations ? `the next ${distance(numbers.next_due_at)}` : "";
  return [
    ["Pending", whole(numbers.pending_operations), `the limit is ${whole(limits.max_pending)}`,
      numbers.pending_operations > limits.max_pending],
    ["Due now", whole(numbers.due_operations), pushedAgain || next || "may be claimed"],
    ["Oldest due", maybe(numbers.oldest_due_seconds, span), numbers.stale_operations
      ? `${whole(numbers.stale_operations)} stale: not done after ${limits.stale_hours} h`
      : numbers.oldest_due_seconds === null ? "nothing is due" : "since it came due", numbers.stale_operations > 0],
    ["In flight", whole(numbers.processing_operations), "being pushed"],
    ["Failed", whole(numbers.failed_operations), numbers.failed_operations ? "wait for a person" : "for good",
      numbers.failed_operations > 0],
    ["Completed today", whole(numbers.completed_today), `${rough(numbers.completed_per_second * 60)} a minute now`],
    ["First try", maybe(numbers.first_try_share, percent), `of 24 h; goal ${percent(GOAL_FIRST_TRY)}`,
      numbers.first_try_share !== null && numbers.first_try_share < GOAL_FIRST_TRY],
    ["Backlog gone in", backlog(numbers), backlogNote(numbers),
      numbers.due_operations > 0 && !numbers.completed_per_second],
    ["Held up", whole(numbers.held_operations), "by a circuit or a pause"],
    ["Being retried", whole(numbers.retrying_operations), numbers.next_retry_at
      ? `the next ${distance(numbers.next_retry_at)}` : "failed before"],
    ["Retried take", maybe(numbers.mean_retry_seconds, span), `on average; goal ${span(GOAL_RETRIED_SECONDS)}`,
      numbers.mean_retry_seconds > GOAL_RETRIED_SECONDS],
    ["Not proven", maybe(numbers.failure_rate, percent),
      `of ${limits.failure_rate_window_minutes} min; limit ${percent(limits.failure_rate_threshold)}`,
      numbers.failure_rate > limits.failure_rate_threshold],
  ];
}

function backlog(numbers) {
  if (numbers.backlog_seconds === null) return "?";
  return numbers.due_operations ? span(numbers.backlog_seconds) : "–";
}

function backlogNote(numbers) {
  if (numbers.due_operations) {
    if (numbers.backlog_seconds !== null) return "at the present rate";
    return numbers.completed_per_second ? "they have just begun to flow" : "nothing was completed lately";
  }
  return numbers.held_operations ? "it shows when rows flow again" : "nothing is due";
}

// --- what holds up ---

function showHolding(circuits, total) {
  const holding = circuits.flatMap((circuit) => [
    ...(circuit.is_paused ? [{ circuit, isPause: true }] : []),
    ...(circuit.is_open ? [{ circuit, isPause: false }] : []),
  ]);
  show(byId("holding-none"), holding.length === 0);
  keepCards(byId("holding"), holding, (each) => `${each.circuit.token_id} ${each.isPause}`, holdingWords);
  show(byId("holding-more"), total > circuits.length);
  say(byId("holding-more"), `The first ${whole(circuits.length)} of ${whole(total)}.`);
}

function holdingWords({ circuit, isPause }) {
  const account = circuit.token_id && `Account ${accountWords(circuit)}`;
  const waits = circuit.waiting_rows ? `${count(circuit.waiting_rows, "row")} waiting for it` : "";
  if (isPause) {
    return {
      title: `${account || "Everything"} is paused`,
      text: `by ${circuit.paused_by}`,
      note: listed([`until ${moment(circuit.paused_until)}`, circuit.is_open ? "" : waits]),
    };
  }
  return {
    title: account ? `${account} is parked` : "The service's circuit is open",
    text: account ? `${circuit.reason}. ${MEND_ACCOUNT}` : circuit.reason ?? "",
    note: listed([
      circuit.opened_at && `since ${moment(circuit.opened_at)}`,
      waits,
      `${count(circuit.probes, "probe")}, ${nextProbe(circuit)}`,
    ]),
  };
}

function nextProbe(circuit) {
  if (circuit.is_probing) return "one in flight";
  if (!circuit.probe_at || isPast(circuit.probe_at)) return "the next one due";
  return `the next ${distance(circuit.probe_at)}`;
}

// --- who works ---

function daemonWords(daemon) {
  const isDeaf = daemon.is_listening === false;
  const ears = { true: "listening", false: "finds new rows by polling alone", null: "polling" };
  const seen = `seen ${span(daemon.seen_seconds)} ago`;
  return {
    title: daemon.name,
    state: daemon.is_alive ? (isDeaf ? "deaf" : "alive") : "dead",
    isBad: !daemon.is_alive || isDeaf,
    text: daemon.is_alive
      ? listed([seen, ears[daemon.is_listening], `${whole(daemon.in_flight)} in flight`])
      : seen,
    note: `version ${daemon.version}, started ${distance(daemon.started_at)}`,
  };
}

function timerWords(timer) {
  const [state, text] = lastTurn(timer);
  const next = isPast(timer.due_at) ? "its turn is due" : `next ${distance(timer.due_at)}`;
  return {
    title: spoken(timer.name),
    state: timer.is_overdue ? "overdue" : state,
    isBad: timer.is_overdue || Boolean(timer.error),
    text,
    note: `${timer.is_overdue ? `its turn was ${distance(timer.due_at)}` : next}, every ${span(timer.interval_seconds)}`,
  };
}

function lastTurn(timer) {
  if (timer.is_running && timer.started_at) {
    return ["runs", `since ${moment(timer.started_at)}, by ${timer.runner}`];
  }
  if (!timer.ended_at) return ["waits", "no turn yet"];
  if (!timer.error) return ["done", `${distance(timer.ended_at)}: ${counted(timer.result ?? {})}`];
  const well = timer.succeeded_at ? distance(timer.succeeded_at) : "never";
  return ["failed", `${distance(timer.ended_at)}: ${timer.error}; it went well ${well}`];
}

function counted(result) {
  const counts = Object.entries(result).filter(([, value]) => Number.isInteger(value) && value);
  return counts.map(([name, value]) => `${whole(value)} ${spoken(name)}`).join(", ") || "nothing to do";
}

/** What else there is to say: of Telegram, of a session that keeps dead rows. */
function besides({ telegram, oldest_snapshot: snapshot }) {
  const lines = [];
  if (telegram.refused) {
    lines.push({ title: "Telegram", state: "refused", isBad: true, text: telegram.refused,
      note: telegram.refused_at ? distance(telegram.refused_at) : "" });
  }
  if (telegram.muted_until) {
    lines.push({ title: "Messages", state: "muted", text: `by ${telegram.muted_by}`,
      note: `until ${moment(telegram.muted_until)}` });
  }
  const unsentAt = telegram.oldest_unsent_at;
  if (unsentAt && clock.now() - Date.parse(unsentAt) > UNSENT_SECONDS * 1000) {
    lines.push({ title: "Messages not told yet", state: "waiting", isBad: true,
      text: count(telegram.unsent, "change"), note: `the first of ${distance(unsentAt)}` });
  }
  if (snapshot) {
    const who = [snapshot.application_name, snapshot.state].filter(Boolean).join(", ");
    lines.push({ title: `Session ${snapshot.pid} of the database`, state: "holds a snapshot", isBad: true,
      text: `${who || "unnamed"}, for ${span(snapshot.age_seconds)}`,
      note: "dead rows cannot be cleaned away, and claiming slows down" });
  }
  return lines;
}

/** A list of things with a title, a state, a text and a note. */
function keepCards(list, items, keyOf, wordsOfItem) {
  keep(list, items, keyOf, () => {
    const [title, state] = [make("strong"), make("span", { class: "state" })];
    const [text, note] = [make("p"), make("p", { class: "note" })];
    return {
      node: make("li", {}, make("p", { class: "head" }, title, " ", state), text, note),
      update(item) {
        const words = wordsOfItem(item);
        say(title, words.title);
        say(state, words.state ?? "");
        show(state, Boolean(words.state));
        state.classList.toggle("bad", Boolean(words.isBad));
        say(text, words.text);
        say(note, words.note ?? "");
      },
    };
  });
}
