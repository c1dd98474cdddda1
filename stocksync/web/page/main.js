"use strict";
// The page's life: what is looked at (the part behind #), and looking again every few seconds.

const EVERY_MS = 5000;
// What changes slowly, or costs more: every so many rounds.
const ROUNDS_OF_FAILED = 2;
const ROUNDS_OF_HISTORY = 6;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

let timer = null;
let round = 0;
let looking = null;
let troubleSince = null;
let lastOk = null;

// --- where we are ---

function routeTo(name, value) {
  return `#${name}=${encodeURIComponent(value)}`;
}

/** {order, token} or {operation}, or nothing: the overview. */
function route() {
  const given = new Map();
  for (const part of location.hash.slice(1).split("&")) {
    const [name, ...rest] = part.split("=");
    try {
      given.set(name, decodeURIComponent(rest.join("=")));
    } catch {
      given.set(name, rest.join("="));
    }
  }
  return { order: given.get("order") ?? null, operation: given.get("operation") ?? null };
}

async function goTo() {
  const { order, operation } = route();
  const isStory = order !== null || operation !== null;
  const wasStory = !byId("story").hidden;
  show(byId("story"), isStory);
  keep(byId("orders"), [], String, () => null);
  say(byId("story-title"), isStory ? `Looking for ${order ?? operation}…` : "");
  sayStoryTrouble("");
  if (isStory) {
    show(byId("overview"), false);
    byId("story-title").focus();
    byId("story").scrollIntoView({ block: "start" });
  } else if (wasStory) {
    // The link that led here is gone.
    document.querySelector("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  await lookAnew();
  if (operation !== null) document.querySelector("#orders .chosen")?.focus();
}

// --- looking ---

/** Look at all that is shown; a call while one runs waits for the next one. */
async function refresh() {
  while (looking) await looking;
  clearTimeout(timer);
  looking = look().finally(() => (looking = null));
  await looking;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

/** At what changes slowly, too. */
function lookAnew() {
  round = 0;
  return refresh();
}

async function look() {
  try {
    const told = await ask("status");
    clock.set(told.last_updated);
    lastOk = told.last_updated;
    showVerdict(told);
    const { order, operation } = route();
    if (order === null && operation === null) await lookAtAll(told);
    else await lookAtStory(order, operation);
    round += 1;
    unlocked();
    troubleSince = null;
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    if (error.status === 401) locked(error.message);
    else troubleSince ??= Date.now();
    say(byId("trouble"), error.status === 401 ? "" : troubleWords(error));
  }
  show(byId("trouble"), troubleSince !== null);
  document.body.classList.toggle("old", troubleSince !== null);
  say(byId("refreshed"), lastOk ? `As of ${time(lastOk)} UTC` : "");
  if (!troubleSince) say(byId("trouble"), "");
}

/** The same words for as long as it lasts: an alert that changes is read out again and again. */
function troubleWords(error) {
  const since = new Date(troubleSince).toTimeString().slice(0, 8);
  const shown = lastOk ? ` What you see is of ${time(lastOk)} UTC.` : "";
  return `Not refreshed since ${since} by your clock: ${error.message}. Trying again.${shown}`;
}

async function lookAtAll(told) {
  showOverview(told);
  show(byId("overview"), true);
  if (round % ROUNDS_OF_FAILED === 0) await refreshFailed();
  if (round % ROUNDS_OF_HISTORY === 0) await refreshHistory();
}

async function refreshHistory() {
  const hours = document.querySelector("#hours input:checked").value;
  showHistory(await ask("history", { hours }));
}

async function lookAtStory(order, operation) {
  try {
    let [orderId, tokenId] = [order, null];
    if (order === null) ({ order_id: orderId, token_id: tokenId } = await ask(`operations/${encodeURIComponent(operation)}`));
    const told = await ask(`orders/${encodeURIComponent(orderId)}`, { token_id: tokenId });
    showStory(orderId, told, operation?.toLowerCase() ?? null);
    sayStoryTrouble("");
  } catch (error) {
    if (![400, 404, 422].includes(error.status)) throw error;
    // Whoever has an operation's id need not know that it is none of an order.
    if (order !== null && error.status === 404 && UUID.test(order) && (await isOperation(order))) {
      location.replace(routeTo("operation", order));
      return;
    }
    say(byId("story-title"), order === null ? `Operation ${operation}` : `Order ${order}`);
    keep(byId("orders"), [], String, () => null);
    sayStoryTrouble(error.message);
  }
}

async function isOperation(id) {
  return ask(`operations/${id}`).then(() => true, () => false);
}

function sayStoryTrouble(words) {
  say(byId("story-trouble"), words);
  show(byId("story-trouble"), Boolean(words));
}

// --- the token ---

function locked(why) {
  for (const id of ["verdict", "overview"]) show(byId(id), false);
  say(byId("locked-why"), why);
  if (!byId("locked").hidden) return;
  show(byId("locked"), true);
  document.body.classList.add("is-locked");
  byId("access").open = true;
  byId("token").focus();
}

function unlocked() {
  show(byId("locked"), false);
  show(byId("verdict"), true);
  document.body.classList.remove("is-locked");
}

function showToken() {
  say(byId("access-state"), token.value ? "API token given: you may retry and cancel" : "No API token: looking only");
  show(byId("token-ask"), !token.value);
  show(byId("token-forget"), Boolean(token.value));
}

function forgetToken(why) {
  token.keep("");
  showToken();
  say(byId("token-said"), why);
  byId("access").open = true;
}

async function useToken(event) {
  event.preventDefault();
  const given = byId("token").value.trim();
  if (!given) return;
  say(byId("token-said"), "Asking…");
  try {
    if (!(await isTaken(given))) {
      say(byId("token-said"), "The server does not take this token.");
      byId("token").select();
      return;
    }
  } catch (error) {
    say(byId("token-said"), error.message);
    return;
  }
  token.keep(given);
  byId("token").value = "";
  say(byId("token-said"), "The server takes it. It is forgotten when this tab is closed.");
  showToken();
  byId("token-forget").focus();
  await lookAnew();
}

// --- hands ---

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = byId("searched").value.trim();
  if (!wanted) return;
  if (location.hash === routeTo("order", wanted)) goTo();
  else location.hash = routeTo("order", wanted);
});
byId("token-form").addEventListener("submit", useToken);
byId("token-forget").addEventListener("click", () => {
  forgetToken("It is forgotten.");
  byId("token").focus();
  refresh();
});
byId("hours").addEventListener("change", () => refreshHistory().catch(() => refresh()));
addEventListener("hashchange", () => {
  tellDone("");
  goTo();
});
// Nobody looks: nothing is asked.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) refresh();
});

showToken();
goTo();
