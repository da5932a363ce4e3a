/* Header: the run's line of facts, its state, its buttons, progress, and what is said in words. Knows no server and no drawing. */

const PHASES = {
  waiting: "Waiting for its turn", loading: "Loading the model", encoding: "Encoding the texts", floor: "Training the bag of edits",
  training: "Training begins", evaluating: "Evaluating on held-out texts", saving: "Saving the adapter",
};
const STATES = {
  queued: "waiting", running: "running", finished: "finished", stopped: "stopped", failed: "failed", lost: "lost",
};
const ENDED = ["finished", "stopped", "failed", "lost"];
const LOST = "The process of this run is gone: it was ended from outside or the machine was restarted. What it wrote so far is shown. "
  + "On the command line, train --resume goes on from its last checkpoint; Run again starts over.";

class Header {
  constructor(place, actions) {
    this.place = place;
    const line = node("div", "irl-head");
    this.name = node("h2", "irl-name");
    this.badge = node("span", "irl-badge");
    this.facts = node("div", "irl-facts");
    this.buttons = node("div", "irl-buttons");
    this.stop = this.button("Stop", "", actions.stop);
    this.tryIt = this.button("Try its adapter", "irl-primary", actions.tryIt);
    this.open = this.button("Open in Runs", "", actions.open);
    line.append(this.name, this.badge, this.facts, this.buttons);
    this.progress = node("div", "irl-progress");
    this.progress.setAttribute("role", "progressbar");
    this.progress.setAttribute("aria-label", "Progress of the run");
    this.progress.setAttribute("aria-valuemin", "0");
    this.progress.setAttribute("aria-valuemax", "100");
    this.bar = this.progress.appendChild(node("div"));
    this.said = node("div", "irl-said");
    this.said.setAttribute("role", "status");
    // Beside what is read aloud, not in it: it changes every second.
    this.since = node("span", "irl-since");
    this.since.setAttribute("aria-hidden", "true");
    this.saying = node("div", "irl-saying");
    this.saying.append(this.said, this.since);
    this.notices = node("ul", "irl-notices");
    place.append(line, this.progress, this.saying, this.notices);
  }

  button(text, extra, action) {
    const made = node("button", `irl-button ${extra}`.trim(), text);
    made.type = "button";
    made.hidden = true;
    made.addEventListener("click", action);
    this.buttons.append(made);
    return made;
  }

  /* Everything at once from what is known; cheap, since only changed text is set. */
  show(run) {
    const { head, state, series, phase, ending, place, error, stopping, stoppable, elapsed, adapter } = run;
    this.place.classList.toggle("irl-running", state === "running");
    say(this.name, head.name);
    const badge = head.recorded ? "recorded" : state === "queued" && place > 0 ? `waiting, ${plural(place, "run")} before it` : STATES[state] || "";
    say(this.badge, badge);
    this.badge.dataset.state = head.recorded ? "recorded" : state;
    this.showFacts(facts(run));
    const share = head.steps ? Math.min(1, series.last / head.steps) : 0;
    const percent = state === "finished" ? 100 : Math.floor(share * 100);
    this.bar.style.width = `${percent}%`;
    this.progress.setAttribute("aria-valuenow", String(percent));
    this.progress.hidden = ENDED.includes(state) || head.recorded;
    const before = error || ENDED.includes(state) ? "" : phaseWords(state, phase, series);
    const words = error || before || (ENDED.includes(state) ? endingWords(state, ending) : "");
    say(this.said, words);
    say(this.since, before && elapsed >= 0 ? duration(elapsed) : "");
    this.saying.hidden = !words;
    this.saying.classList.toggle("irl-alarm", Boolean(error) || state === "failed" || state === "lost");
    const going = !head.recorded && (state === "running" || state === "queued");
    this.stop.hidden = !stoppable || !going;
    this.stop.disabled = stopping;
    say(this.stop, stopping ? "Stopping …" : state === "queued" ? "Cancel" : "Stop");
    this.tryIt.hidden = !run.linked || head.recorded || !ENDED.includes(state) || !adapter;
    this.open.hidden = !run.linked || head.recorded || !ENDED.includes(state);
  }

  showFacts(list) {
    while (this.facts.children.length > list.length) this.facts.lastChild.remove();
    list.forEach((text, i) => say(this.facts.children[i] || this.facts.appendChild(node("span")), text));
  }

  showNotices(notices) {
    this.notices.replaceChildren(...notices.map(({ level, text }) => node("li", level === "warning" ? "irl-warning" : "", text)));
    this.notices.hidden = !notices.length;
  }
}

function facts({ head, state, series, ending, began }) {
  const list = [];
  const row = series.tail[series.tail.length - 1];
  const over = ENDED.includes(state);
  if (head.steps) {
    const steps = `${series.last.toLocaleString("en")} of ${head.steps.toLocaleString("en")}`;
    list.push(over ? (series.last === head.steps ? plural(series.last, "step") : `${steps} steps`) : `step ${steps}`);
  }
  if (row) {
    list.push(perStep(median(series.tail.map((step) => step[3]).filter((value) => value !== null))));
    const left = series.pace() * (head.steps - series.last);
    if (!over && left >= 0 && series.last < head.steps) list.push(`${duration(left)} left`);
    if (over) list.push(duration((ending ? ending.time : row[1]) - (began || 0)));
    list.push(memory(row[4]));
    const smooth = series.smoothed();
    list.push(`loss ${fixed(smooth[smooth.length - 1])}`);
  }
  const subset = series.latest("test", "network") === null ? "validation" : "test";
  const [network, floor] = [series.latest(subset, "network"), series.latest(subset, "floor")];
  const held = subset === "test" ? "held-out macro-F1" : "macro-F1";
  if (network !== null) list.push(`${held} ${fixed(network)}${floor === null ? "" : ` · bag of edits ${fixed(floor)}`}`);
  else if (floor !== null) list.push(`bag of edits, macro-F1 ${fixed(floor)}`);
  if (over && head.model) list.push(`${head.model} on ${head.corpus}`);
  return list.filter(Boolean);
}

function phaseWords(state, phase, series) {
  if (state === "queued") return "";
  if (!phase || (phase.name === "training" && series.last > 0)) return "";
  const usual = PHASES[phase.name] || phase.name;
  const said = phase.name === "waiting" ? phase.text || usual : [usual, phase.text].filter(Boolean).join(": ");
  return `${said.replace(/[.…\s]+$/, "")} …`;
}

function endingWords(state, ending) {
  if (state === "lost") return LOST;
  if (!ending) return "";
  const what = state === "finished" && /finished\.$/.test(ending.what) ? "" : ending.what; // the badge says it already
  return [what, ending.advice].filter(Boolean).join(" ");
}
