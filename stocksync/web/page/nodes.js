"use strict";
// Nodes: they are made once and then change their text only, so that focus, selection and what was
// typed stay where they are. Nothing is ever parsed as HTML: whatever comes is text.

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function make(tag, attributes = {}, ...children) {
  return finished(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return finished(document.createElementNS(SVG, tag), attributes, children);
}

function finished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

/**
 * One child of `parent` for each item, in order. `create(item)` gives {node, update}; a node lives as
 * long as its key, and is moved only when it has to be: moving a node takes its focus away.
 */
function keep(parent, items, keyOf, create) {
  const before = parent.kept ?? new Map();
  const kept = new Map();
  for (const item of items) {
    const key = String(keyOf(item));
    kept.set(key, before.get(key) ?? create(item));
  }
  for (const [key, child] of before) {
    if (!kept.has(key)) removed(parent, child.node);
  }
  let place = parent.firstChild;
  let position = 0;
  for (const child of kept.values()) {
    child.update(items[position++]);
    if (child.node === place) place = place.nextSibling;
    else parent.insertBefore(child.node, place);
  }
  parent.kept = kept;
}

/** Focus that would be lost goes to the heading of what is left. */
function removed(parent, node) {
  const hadFocus = node.contains(document.activeElement);
  node.remove();
  if (hadFocus) parent.closest("section")?.querySelector("h2[tabindex]")?.focus();
}

function keepLines(list, lines) {
  keep(list, lines, (line) => line, (line) => ({ node: make("li", {}, line), update() {} }));
}

/** Labels and values: a value that is null is left out. */
function keepPairs(list, pairs) {
  const said = pairs.filter(([, value]) => value != null);
  keep(list, said, ([label]) => label, ([label]) => {
    const value = make("dd");
    return {
      node: make("div", {}, make("dt", {}, label), value),
      update: ([, text]) => say(value, text),
    };
  });
}
