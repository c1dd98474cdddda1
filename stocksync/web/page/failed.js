"use strict";
// Failed for good: grouped by account and error; a group opens to its operations.

const MOST_SHOWN = 50;
const MOST_ASKED = 200;
const openGroups = new Map();

function groupKey(group) {
  return `${group.token_id} ${group.error}`;
}

function showFailed(told) {
  show(byId("failed-none"), told.errors.length === 0);
  keep(byId("failed"), told.errors, groupKey, groupOf);
  show(byId("failed-sample"), told.is_sample);
  say(byId("failed-sample"), `There are more: these are of the first ${whole(told.looked_at)}.`);
}

function groupOf(first) {
  const key = groupKey(first);
  let group = first;
  const [error, facts, said] = [make("strong"), make("p", { class: "note" }), make("p", { class: "note" })];
  const command = make("code");
  const how = make("p", {}, "All of them at once: ", command);
  const rows = make("ul", { class: "rows" });
  const summary = make("summary");
  const details = make("details", { ontoggle: () => toggled() }, summary, how, rows, said);

  async function toggled() {
    if (!details.open) {
      openGroups.delete(key);
      return;
    }
    openGroups.set(key, load);
    await load().catch((problem) => say(said, problem.message));
  }

  async function load() {
    const parameters = { status: "failed", token_id: group.token_id, limit: MOST_ASKED };
    const page = await ask("pending", parameters);
    const found = page.operations.filter((operation) => operation.error_message === group.error);
    const shown = found.slice(0, MOST_SHOWN);
    keep(rows, shown, (operation) => operation.id, rowOf);
    say(said, shown.length < group.row_count ? `The newest ${whole(shown.length)} of ${whole(group.row_count)}.` : "");
  }

  return {
    node: make("li", {}, make("p", { class: "head" }, error), facts, details),
    update(now) {
      group = now;
      say(error, now.error ?? "without an error's text");
      say(facts, listed([
        now.row_count === now.order_count
          ? count(now.order_count, "order")
          : `${count(now.row_count, "row")} of ${count(now.order_count, "order")}`,
        `account ${accountWords(now)}`,
        `last ${moment(now.last_at)}`,
      ]));
      say(summary, `Show ${now.row_count === 1 ? "it" : "them"}`);
      const line = bulkRetry(now);
      show(how, line !== null);
      say(command, line ?? "");
    },
  };
}

/** The shell's line; null: the error cannot be typed. */
function bulkRetry(group) {
  if (!group.error || /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(group.error)) return null;
  const quoted = `'${group.error.replaceAll("'", "'\\''")}'`;
  return `stocksync retry --failed --token ${group.token_id} --error ${quoted}`;
}

function rowOf(operation) {
  const link = make("a", { class: "id", href: routeTo("operation", operation.id) }, operation.order_id);
  const facts = make("span", { class: "note" });
  const acts = actsOf(operation);
  return {
    node: make("li", { class: "spread", tabindex: "-1" }, make("p", {}, link, " ", facts), acts.node),
    update(now) {
      say(facts, listed([what(now), count(now.attempts, "attempt"), moment(now.updated_at)]));
      acts.update(now);
    },
  };
}

async function refreshFailed() {
  showFailed(await ask("errors"));
  for (const load of [...openGroups.values()]) await load();
}
