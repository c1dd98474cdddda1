"use strict";
// Words: numbers, times and spans, for people. The only clock is the database's.

const clock = {
  at: Date.now(),
  seenAt: performance.now(),
  set(text) {
    this.at = Date.parse(text);
    this.seenAt = performance.now();
  },
  now() {
    return this.at + performance.now() - this.seenAt;
  },
};

// Between a number and its unit: no line ends there.
const UNBROKEN = "\u00a0";

// From here on the next larger unit says it better.
const SCALE = [
  [90, 1, "s"],
  [90 * 60, 60, "min"],
  [48 * 3600, 3600, "h"],
  [Infinity, 86400, "days"],
];

function span(seconds) {
  const [, unit, name] = SCALE.find(([end]) => seconds < end);
  return `${Math.round(seconds / unit)}${UNBROKEN}${name}`;
}

function distance(text) {
  const seconds = (Date.parse(text) - clock.now()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

function isPast(text) {
  return Date.parse(text) <= clock.now();
}

/** `14:03:12`, with its day when that is not today. */
function time(text) {
  const iso = new Date(text).toISOString();
  const isToday = iso.slice(0, 10) === new Date(clock.now()).toISOString().slice(0, 10);
  return isToday ? iso.slice(11, 19) : `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}

/** A time, and how far it is from now. */
function moment(text) {
  return `${time(text)} (${distance(text)})`;
}

/** To the millisecond: what happens within one push. */
function precise(text) {
  return new Date(text).toISOString().replace("T", " ").slice(0, 23);
}

const TOKEN_SHOWN = 8;

const GROUPED = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

function whole(value) {
  return GROUPED.format(value);
}

/** Three digits are enough for what is a rate or a mean. */
function rough(value) {
  return value >= 1000 ? GROUPED.format(value) : SHORT.format(value);
}

function percent(share) {
  // Never rounded up to "all of them".
  return `${Math.floor(share * 1000) / 10}${UNBROKEN}%`;
}

function count(value, what) {
  return `${whole(value)} ${what}${value === 1 ? "" : "s"}`;
}

function spoken(name) {
  return name.replaceAll("_", " ");
}

/** An account's name, and enough of its token to tell it from others; nameless, the whole token. */
function accountWords({ account_name: name, token_id: token }) {
  return name ? `${name} (${token.slice(0, TOKEN_SHOWN)}…)` : token;
}

function listed(words) {
  return words.filter(Boolean).join(" · ");
}
