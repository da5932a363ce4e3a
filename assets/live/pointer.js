/* Pointing: hover, tap, click and arrow keys on the live chart and on the why panel become "this cell" and "pin this step". */

const STILL = 6; // pixels a press may wander and still be a click
const SLOW = 700; // milliseconds after which a press is no click
const RANKING = ["ir", "top-k"]; // methods that choose by the scores

class Pointer {
  constructor({ frame, chart, why, tip, series, cursor, onPin, onMove, onAll }) {
    Object.assign(this, { frame, chart, why, tip, series, cursor, onPin, onMove, onAll });
    const area = chart.node;
    area.addEventListener("pointermove", (event) => event.pointerType === "mouse" && !event.buttons && this.hover(event));
    area.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hide());
    area.addEventListener("pointerdown", (event) => (this.pressed = { x: event.clientX, y: event.clientY, time: event.timeStamp }), true);
    area.addEventListener("click", (event) => this.click(event), true);
    area.addEventListener("keydown", (event) => this.key(event));
    area.addEventListener("blur", () => this.hide());
    why.node.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.hoverRow(event));
    why.node.addEventListener("pointerleave", () => this.hide());
    why.node.addEventListener("click", (event) => this.hoverRow(event));
    // A finger never leaves: what it asked for goes when it touches something else.
    this.elsewhere = (event) => !area.contains(event.target) && !why.node.contains(event.target) && this.hide();
    document.addEventListener("pointerdown", this.elsewhere);
  }

  leave() {
    document.removeEventListener("pointerdown", this.elsewhere);
  }

  hover(event) {
    const cell = this.chart.at(event.clientX, event.clientY);
    if (!cell || this.series.columnOf(cell.step) < 0) return this.hide();
    this.showCell(cell.layer, cell.step, event.clientX, event.clientY);
  }

  click(event) {
    const pressed = this.pressed;
    this.pressed = null;
    if (!pressed || event.timeStamp - pressed.time > SLOW) return;
    if (Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > STILL) return;
    const cell = this.chart.at(event.clientX, event.clientY);
    if (!cell || this.series.columnOf(cell.step) < 0) return;
    if (event.detail > 1) return this.onAll();
    this.onPin(cell.step, cell.layer);
    this.showCell(cell.layer, cell.step, event.clientX, event.clientY);
  }

  key(event) {
    const moves = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], PageUp: [-10, 0], PageDown: [10, 0],
      Home: [-Infinity, 0], End: [Infinity, 0],
    };
    if (event.key === "Escape") {
      this.hide();
      this.onPin(null, null);
      return;
    }
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey || !this.series.columns.length) return;
    event.preventDefault();
    const { first, last, layers } = this.series;
    const [step, layer] = [this.cursor.step ?? last, this.cursor.layer];
    const nextStep = Math.min(last, Math.max(first, step + move[0]));
    const nextLayer = layer === null ? layers - 1 : Math.min(layers - 1, Math.max(0, layer + move[1]));
    this.onPin(nextStep, nextLayer);
    const spot = this.chart.place(nextLayer, nextStep);
    const box = this.chart.node.getBoundingClientRect();
    this.showCell(nextLayer, nextStep, box.left + spot.x, box.top + spot.y);
  }

  showCell(layer, step, clientX, clientY) {
    this.show(layer === null ? stepLines(this.series, step) : cellLines(this.series, layer, step), clientX, clientY);
    this.onMove(step, layer);
  }

  hoverRow(event) {
    const row = this.why.at(event.clientX, event.clientY);
    if (!row) return this.hide();
    const never = RANKING.includes(this.series.method) ? "never measured: counts as 1000" : "never measured";
    const score = row.score === null ? never : `score ${figures(row.score, 4)}, measured in step ${row.since.toLocaleString("en")}`;
    this.show([`${this.series.nameOf(row.layer)}, ${ordinal(row.row + 1)} of ${row.rows}`, score, row.trained ? "trains in this step" : "frozen in this step"],
      event.clientX, event.clientY);
  }

  show(lines, clientX, clientY) {
    this.tip.replaceChildren(...lines.map((line, i) => node("div", i ? "" : "irl-tip-title", line)));
    this.tip.hidden = false;
    const frame = this.frame.getBoundingClientRect();
    const [width, height] = [this.tip.offsetWidth, this.tip.offsetHeight];
    let x = clientX - frame.left + 14;
    if (x + width > frame.width) x = clientX - frame.left - width - 14;
    let y = clientY - frame.top - height - 12;
    if (y < 0) y = clientY - frame.top + 16;
    this.tip.style.transform = `translate(${Math.max(0, Math.min(frame.width - width, Math.round(x)))}px, ${Math.round(y)}px)`;
  }

  hide() {
    this.tip.hidden = true;
  }
}

function cellLines(series, layer, step) {
  const cell = series.about(layer, step);
  if (!cell) return [];
  const one = cell.n === 1;
  const when = one ? `step ${cell.start.toLocaleString("en")}` : `steps ${cell.start.toLocaleString("en")} to ${cell.end.toLocaleString("en")}`;
  const lines = [`${series.nameOf(layer)}, ${when}`];
  if (cell.score === null) lines.push("never measured yet");
  else {
    const values = `${figures(cell.score, 4)}, ${fixed(cell.ratio)} of the median`;
    if (cell.measuredHere) lines.push(`${one ? "score" : "mean score"} ${values}`);
    else lines.push(`last score ${values}`);
  }
  if (one) lines.push(cell.trained ? "trained in this step" : "frozen in this step");
  else lines.push(cell.trained ? `trained in ${cell.trained} of ${cell.n} steps` : "frozen in all of them");
  if (cell.score !== null && !cell.measuredHere) {
    const until = cell.measuredFrom === cell.measuredTo ? "" : `s ${cell.measuredFrom.toLocaleString("en")} to`;
    lines.push(`last measured in step${until} ${cell.measuredTo.toLocaleString("en")}`);
  }
  return lines;
}

function stepLines(series, step) {
  const c = series.columnOf(step);
  if (c < 0) return [];
  const column = series.columns[c];
  const end = column.start + column.n - 1;
  const lines = [column.n === 1 ? `step ${end.toLocaleString("en")}` : `steps ${column.start.toLocaleString("en")} to ${end.toLocaleString("en")}`];
  lines.push(`trained ${figures(series.counts()[c])} of ${series.layers} ${series.unit}s`);
  const [loss, smooth] = [series.losses()[c], series.smoothed()[c]];
  if (loss !== null) lines.push(`loss ${fixed(loss)}, smoothed ${fixed(smooth)}`);
  const network = series.latest("validation", "network", end);
  if (network !== null) lines.push(`macro-F1 ${fixed(network)}`);
  return lines;
}

function ordinal(number) {
  const tail = number % 100;
  const ending = tail > 10 && tail < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[number % 10] || "th";
  return `${number}${ending}`;
}
