"use strict";
// Acts: retry and cancel, each after a confirmation; what came of it stays on the page's lower edge.

const ACTS = {
  retry: {
    method: "POST",
    title: "Retry this operation now?",
    means: "It is due at once; its retries are counted anew.",
    yes: "Retry it",
  },
  cancel: {
    method: "DELETE",
    title: "Cancel this operation?",
    means: "It leaves its order's sum, and the order is pushed again. Nobody can take this back.",
    yes: "Cancel it",
  },
};

let asked = null;

function mayAct(operation) {
  return operation.status === "pending" || operation.status === "failed";
}

/** The buttons of one operation. */
function actsOf(operation) {
  let current = operation;
  const buttons = Object.keys(ACTS).map((name) =>
    make("button", { type: "button", class: name, onclick: () => askFirst(name, current) }, ""),
  );
  const line = make("div", { class: "line acts" }, ...buttons);
  return {
    node: line,
    update(now) {
      current = now;
      show(line, Boolean(token.value) && mayAct(now));
      buttons.forEach((button, position) => {
        const name = Object.keys(ACTS)[position];
        say(button, name === "retry" ? "Retry…" : "Cancel…");
        button.setAttribute("aria-label", `${button.textContent} ${now.order_id}, ${what(now)}`);
      });
    },
  };
}

function what(operation) {
  const kind = operation.operation_type === "deduction" ? "" : `${operation.operation_type} `;
  return `${kind}${operation.quantity} × ${operation.sku}`;
}

function askFirst(name, operation) {
  asked = { name, operation, by: document.activeElement };
  const { title, means, yes } = ACTS[name];
  say(byId("act-title"), title);
  say(byId("act-what"), `${operation.order_id}: ${what(operation)}`);
  say(byId("act-means"), means);
  say(byId("act-yes"), yes);
  byId("act-yes").className = name;
  show(byId("act-reason-line"), name === "cancel");
  byId("act-reason").value = "";
  say(byId("act-said"), "");
  byId("act").showModal();
  (name === "cancel" ? byId("act-reason") : byId("act-yes")).focus();
}

async function confirmed(event) {
  event.preventDefault();
  const { name, operation, by } = asked;
  const yes = byId("act-yes");
  if (yes.getAttribute("aria-busy")) return;
  yes.setAttribute("aria-busy", "true");
  try {
    const reason = name === "cancel" ? { reason: byId("act-reason").value.trim() } : {};
    const done = await act(ACTS[name].method, `${name}/${operation.id}`, reason);
    tellDone(`${operation.order_id}, ${what(operation)}: ${done.message}`);
  } catch (error) {
    say(byId("act-said"), error.message);
    if (error.status === 401) forgetToken(error.message);
    return;
  } finally {
    yes.removeAttribute("aria-busy");
  }
  byId("act").close();
  await lookAnew();
  // A button that is gone cannot have the focus; its place can.
  if (!by.isConnected || by.closest("[hidden]")) {
    const place = by.closest("[tabindex]") ?? document.querySelector("main section:not([hidden]) h2[tabindex]");
    place?.focus();
  }
}

function tellDone(words) {
  show(byId("done"), Boolean(words));
  say(byId("done-said"), words);
}

byId("done-close").addEventListener("click", () => {
  tellDone("");
  document.querySelector("main").focus({ preventScroll: true });
});
byId("act-form").addEventListener("submit", confirmed);
byId("act-no").addEventListener("click", () => byId("act").close());
