"use strict";
// The API: questions and acts, with the token where there is one.

const API = new URL("api/v1/stock-sync/", document.baseURI);
const PATIENCE_MS = 15000;
const TOKEN_PLACE = "stocksync.token";
// What a header can carry; fetch takes anything else for a failure of the network.
const TOKEN = /^[\x21-\x7e]+$/;
const NOBODY = "00000000-0000-0000-0000-000000000000";

/** What the server answers instead of what it was asked for; status 0: it did not answer. */
class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const token = {
  value: sessionStorage.getItem(TOKEN_PLACE) ?? "",
  keep(value) {
    this.value = value;
    sessionStorage.setItem(TOKEN_PLACE, value);
  },
};

function ask(path, parameters = {}) {
  return call("GET", path, parameters, token.value);
}

function act(method, path, parameters = {}) {
  return call(method, path, parameters, token.value);
}

/** Whether the server takes this token: asked with an act on an operation that cannot be. */
async function isTaken(value) {
  if (!TOKEN.test(value)) return false;
  try {
    await call("POST", `retry/${NOBODY}`, {}, value);
  } catch (error) {
    if (error.status === 401) return false;
    if (error.status !== 404) throw error;
  }
  return true;
}

async function call(method, path, parameters, bearer) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(parameters)) {
    if (value != null && value !== "") url.searchParams.set(name, value);
  }
  const headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
  let answer;
  let told;
  try {
    answer = await fetch(url, {
      method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    told = await answer.json();
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refusal(answer.status, "this is no answer of stocksync");
    throw new Refusal(0, error.name === "TimeoutError" ? "no answer in time" : "the daemon does not answer");
  }
  if (!answer.ok) throw new Refusal(answer.status, told.detail ?? `HTTP ${answer.status}`);
  return told;
}
