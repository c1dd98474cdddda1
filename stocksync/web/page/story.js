"use strict";
// The story of an order: what it waits for until when, its rows, and what happened to each.

const MOST_OPEN = 3;

const WAITS = {
  in_flight: (order) => `a push is in flight; ${leaseWords(order.lease_until)}`,
  due: (order) => `it is due since ${moment(order.waits_until)}, and waits for a daemon to claim it`,
  retry: (order) => `its next ${isRetried(order) ? "retry" : "row"} is due at ${moment(order.waits_until)}`,
  push_again: (order) => `it is pushed again at ${moment(order.waits_until)}`,
  pause: (order) => `it waits for the end of a pause, at ${moment(order.waits_until)}`,
  service: (order) => `it waits for the service to work again; ${probeWords(order.waits_until)}`,
  account: (order) => `it waits for the service to know its account; ${probeWords(order.waits_until)}`,
  person: () => "it waits for a person",
  nothing: () => "it waits for nothing",
};

function isRetried(order) {
  return order.operations.some((row) => row.status === "pending" && row.error_message);
}

function leaseWords(until) {
  if (!until) return "it is held without a lease";
  if (isPast(until)) return `its lease ran out ${distance(until)}: any daemon takes over`;
  return `its lease ends at ${moment(until)}`;
}

function probeWords(at) {
  return !at || isPast(at) ? "the next probe is due" : `the next probe is at ${moment(at)}`;
}

/** `told`: the orders as the API tells them; `operationId`: the one to be shown first, or null. */
function showStory(orderId, told, operationId) {
  say(byId("story-title"), `Order ${orderId}`);
  keep(byId("orders"), told.orders, (order) => `${order.order_id} ${order.token_id}`, orderOf);
  for (const row of document.querySelectorAll("#orders .row")) {
    row.classList.toggle("chosen", row.dataset.id === operationId);
  }
}

function orderOf() {
  const waits = make("p", { class: "waits" });
  const hand = make("p", { class: "error" });
  const facts = make("dl", { class: "pairs" });
  const circuits = make("ul", { class: "cards" });
  const [title, rows, older] = [make("h3"), make("ul", { class: "rows" }), make("p", { class: "note" })];
  const node = make("article", {}, waits, hand, facts, circuits, title, rows, older);
  return {
    node,
    update(order) {
      node.ariaLabel = `Account ${accountWords(order)}`;
      const failed = order.operations.filter((operation) => operation.status === "failed").length;
      const words = WAITS[order.waits_for](order);
      say(waits, `${words[0].toUpperCase()}${words.slice(1)}.`);
      say(hand, `${count(failed, "row")} failed for good, and ${failed === 1 ? "waits" : "wait"} for a person to retry or cancel.`);
      show(hand, failed > 0);
      keepPairs(facts, orderPairs(order));
      const holding = order.circuits.flatMap((circuit) => [
        ...(circuit.is_paused ? [{ circuit, isPause: true }] : []),
        ...(circuit.is_open ? [{ circuit, isPause: false }] : []),
      ]);
      keepCards(circuits, holding, (each) => `${each.circuit.token_id} ${each.isPause}`, holdingWords);
      show(circuits, holding.length > 0);
      say(title, order.operations_total === 1 ? "Its row" : `Its ${whole(order.operations_total)} rows`);
      const isShort = order.operations.length <= MOST_OPEN;
      keep(rows, order.operations, (operation) => operation.id, (operation) => operationOf(operation, isShort));
      show(older, order.operations_total > order.operations.length);
      say(older, `The newest ${whole(order.operations.length)} of ${whole(order.operations_total)} rows.`);
    },
  };
}

function orderPairs(order) {
  const carried = order.carried_balance ? `, ${order.carried_balance} of it carried from rows removed since` : "";
  return [
    // The whole of it: commands and the service want it so.
    ["Account", order.account_name ? `${order.account_name} (${order.token_id})` : order.token_id],
    ["Balance", `${order.balance}${carried}`],
    ["Wanted flag", order.wanted_flag ? "true: its stock is deducted" : "false: its stock is not deducted"],
    ["Last attempt", attemptWords(order.last_attempt)],
    ["Pushed again", order.push_due_at && `for its own sake, at ${moment(order.push_due_at)}`],
    ["Ambiguous", order.ambiguous_at
      && `since ${moment(order.ambiguous_at)}: the service may still apply an older call after a newer one`],
  ];
}

function attemptWords(attempt) {
  if (!attempt) return "none";
  const by = attempt.by ? ` by ${attempt.by}` : "";
  const when = `${moment(attempt.at)}${by}`;
  if (attempt.action === "lease_expired") {
    return `its lease was found expired ${when}: whether the service has it is not known`;
  }
  const took = attempt.duration_ms === null ? "" : `, after ${attempt.duration_ms} ms`;
  return `${when}: ${attempt.is_proven ? "proven" : attempt.error ?? spoken(attempt.action)}${took}`;
}

function operationOf(first, isOpen) {
  const [title, state] = [make("strong"), make("span", { class: "state" })];
  const when = make("p");
  const error = make("p", { class: "error" });
  const facts = make("p", { class: "note" });
  const [summary, entries] = [make("summary"), make("ol", { class: "entries" })];
  const acts = actsOf(first);
  const id = make("a", { class: "id", href: routeTo("operation", first.id) }, first.id);
  return {
    node: make("li", { class: "row", tabindex: "-1", "data-id": first.id },
      make("p", { class: "head" }, title, " ", state), when, error, facts,
      make("p", { class: "note" }, "operation ", id), acts.node,
      make("details", { open: isOpen }, summary, entries)),
    update(operation) {
      say(title, `${operation.operation_type} of ${operation.quantity} × ${operation.sku}, ${operation.warehouse}`);
      say(state, operation.status);
      state.dataset.status = operation.status;
      say(when, whenWords(operation));
      say(error, operation.error_message ?? "");
      show(error, Boolean(operation.error_message));
      say(facts, listed([
        `${count(operation.attempts, "attempt")}, ${operation.retry_count} counted as retries${limitWords(operation.max_retries)}`,
        operation.allegro_order_id && `Allegro order ${operation.allegro_order_id}`,
      ]));
      acts.update(operation);
      say(summary, `What happened: ${count(operation.history.length, "entry").replace("entrys", "entries")}`);
      keep(entries, operation.history, (entry) => entry.id, entryOf);
    },
  };
}

function whenWords(operation) {
  if (operation.status === "pending") {
    const due = isPast(operation.next_retry_at) ? "due since" : "due at";
    return `${due} ${moment(operation.next_retry_at)}`;
  }
  if (operation.status === "processing") return `in flight; ${leaseWords(operation.lease_until)}`;
  return `at ${moment(operation.completed_at ?? operation.updated_at)}`;
}

function limitWords(most) {
  if (most === null) return "";
  return most < 0 ? ", without a limit" : `, its own limit is ${most}`;
}

function entryOf(entry) {
  const { error, reason, http_status: status, by, ...rest } = entry.details;
  const others = Object.entries(rest)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${spoken(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  const words = listed([
    status && `HTTP ${status}`,
    entry.execution_time_ms !== null && `${entry.execution_time_ms} ms`,
    ...others,
    by && `by ${by}`,
  ]);
  const problem = error ?? reason;
  const node = make("li", {},
    make("p", { class: "head" }, make("time", { datetime: entry.timestamp }, precise(entry.timestamp)), " ",
      make("strong", {}, spoken(entry.action)), words ? ` ${words}` : ""),
    ...(problem ? [make("p", { class: "error" }, String(problem))] : []));
  return { node, update() {} };
}
