/* Numbers: unpacking what the server sends, and saying numbers in words. Knows no run and no page.
   The files of this folder are one script in one scope, in the order that ui/live.py names. */
"use strict";

function unpack(text, Kind) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Kind(bytes.buffer);
}

/* Flags from hexadecimal digits, four a digit, the first flag the highest bit. */
function unmask(hex, count) {
  const flags = new Array(count).fill(false);
  for (let i = 0; i < count; i++) flags[i] = Boolean((parseInt(hex[i >> 2] || "0", 16) >> (3 - (i & 3))) & 1);
  return flags;
}

function median(values) {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/* Linear interpolation between the two nearest of sorted values. */
function percentile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function figures(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential(Math.max(0, digits - 1));
  return String(Number(value.toPrecision(digits)));
}

function fixed(value, places = 2) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(places);
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function perStep(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 0.0995) return `${Math.max(1, Math.round(seconds * 1000))} ms a step`;
  return `${seconds < 9.95 ? seconds.toFixed(seconds < 0.995 ? 2 : 1) : Math.round(seconds)} s a step`;
}

function memory(mib) {
  if (!(mib > 0)) return "";
  const gigabytes = (mib * 1048576) / 1e9;
  if (gigabytes < 0.1) return `${Math.round(gigabytes * 1000)} MB`;
  return `${gigabytes >= 10 ? Math.round(gigabytes) : gigabytes.toFixed(1)} GB`;
}

function node(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/* Sets text only where it changed: an unchanged line is neither painted nor read out again. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
