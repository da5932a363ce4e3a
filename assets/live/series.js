/* Series: a run's steps as the columns a picture shows. It appends single steps, and merges columns in pairs when they get too many,
   by the same rule as insight/columns.py. Knows no drawing. */

const MOST_COLUMNS = 360;
const MOST_CELLS = 24000;
const SCALE_EVERY = 50;
const TAIL = 24;

class Series {
  constructor() {
    this.relative = true;
    this.clear(0, 0);
  }

  /* `names`: what people call the rows. `metric`, `method`: what a score is, and what chooses by it, as a run's config has them. */
  clear(layers, total, { unit = "layer", names = [], metric = "gradient", method = "ir" } = {}) {
    Object.assign(this, { layers, total, unit, names, metric, method });
    this.width = 1;
    this.columns = [];
    this.tail = [];
    this.evaluations = [];
    this.trainedSteps = new Float64Array(layers);
    this.scale = null;
    this.scaledAt = -1;
    this.ended = false;
    this.rebuild();
  }

  /* What people call a row: "layer 3", or "layer 3 attention" where parts of layers are chosen. */
  nameOf(layer) {
    return this.names[layer] || `layer ${layer}`;
  }

  /* Whether the lowest score is the most important one: what matters leaves the states less alike than it found them. */
  get lowMatters() {
    return this.metric === "cosine";
  }

  get first() {
    return this.columns.length ? this.columns[0].start : 1;
  }

  get last() {
    const column = this.columns[this.columns.length - 1];
    return column ? column.start + column.n - 1 : 0;
  }

  /* ---- taking answers in ---- */

  reset(answer) {
    const { head, columns } = answer;
    this.clear(head.layers, head.steps, head);
    this.width = columns.width;
    this.tail = answer.tail;
    this.evaluations = answer.evaluations;
    this.ended = Boolean(answer.ending);
    const L = this.layers;
    const norms = unpack(columns.norms, Float32Array);
    const trained = unpack(columns.trained, Uint16Array);
    const medians = unpack(columns.medians, Float32Array);
    const losses = unpack(columns.losses, Float32Array);
    for (let c = 0; c < medians.length; c++) {
      const start = columns.first + c * columns.width;
      const n = Math.min(columns.width, columns.end - start);
      const made = emptyColumn(start, L);
      made.n = n;
      for (let l = 0; l < L; l++) {
        const norm = norms[c * L + l];
        made.trained[l] = trained[c * L + l];
        this.trainedSteps[l] += made.trained[l];
        if (Number.isNaN(norm)) continue;
        // Gradients are there where a layer trains, all else is measured in every step.
        made.seen[l] = this.metric === "gradient" ? Math.max(1, made.trained[l]) : n;
        made.sums[l] = norm * made.seen[l];
      }
      if (!Number.isNaN(medians[c])) [made.medianSum, made.medianN] = [medians[c] * n, n];
      if (!Number.isNaN(losses[c])) [made.lossSum, made.lossN] = [losses[c] * n, n];
      this.columns.push(made);
    }
    this.rescale();
  }

  /* One step as `updates.step_row` gives it; false where it does not follow the last one, so that a reset is needed. */
  append(row) {
    const [step, time, loss, seconds, mib, trainedHex, measuredHex, scores] = row;
    if (this.columns.length && step !== this.last + 1) return false;
    const L = this.layers;
    const trained = unmask(trainedHex, L);
    const measured = measuredHex ? unmask(measuredHex, L) : trained;
    let column = this.columns[this.columns.length - 1];
    if (!column || column.n >= this.width) {
      column = emptyColumn(step, L);
      this.columns.push(column);
    }
    column.n += 1;
    let taken = 0;
    for (let l = 0; l < L; l++) {
      if (trained[l]) {
        column.trained[l] += 1;
        this.trainedSteps[l] += 1;
      }
      if (!measured[l]) continue;
      const score = scores[taken++];
      if (score === null) continue;
      column.sums[l] += score;
      column.seen[l] += 1;
    }
    const known = scores.filter((score) => score !== null);
    if (known.length) {
      column.medianSum += median(known);
      column.medianN += 1;
    }
    if (loss !== null) {
      column.lossSum += loss;
      column.lossN += 1;
    }
    this.tail.push([step, time, loss, seconds, mib]);
    if (this.tail.length > TAIL) this.tail.shift();
    if (this.columns.length > Math.max(2, Math.min(MOST_COLUMNS, Math.floor(MOST_CELLS / Math.max(1, L))))) this.merge();
    else this.fill(this.columns.length - 1);
    if (this.scaledAt < 0 || Math.floor(step / SCALE_EVERY) > this.scaledAt) this.rescale();
    return true;
  }

  merge() {
    const merged = [];
    for (let c = 0; c < this.columns.length; c += 2) merged.push(sum(this.columns[c], this.columns[c + 1]));
    this.columns = merged;
    this.width *= 2;
    this.rebuild();
  }

  /* ---- what the picture shows ---- */

  rebuild() {
    this.cells = Array.from({ length: this.layers }, () => []);
    this.carried = [];
    for (let c = 0; c < this.columns.length; c++) this.fill(c);
  }

  /* The cells of one column: trained in at least half of its steps, else frozen with the value it was last measured with.
     Frozen ones are shaded from 0 to 1 along the scale, trained ones from 1 to 2; null: never measured. */
  fill(c) {
    const column = this.columns[c];
    const before = c ? this.carried[c - 1] : null;
    const carried = new Float64Array(this.layers);
    for (let l = 0; l < this.layers; l++) {
      const value = this.value(column, l);
      carried[l] = Number.isNaN(value) ? (before ? before[l] : NaN) : value;
      const trains = column.trained[l] * 2 >= column.n;
      this.cells[l][c] = Number.isNaN(carried[l]) ? null : this.shade(carried[l]) + (trains ? 1 : 0);
    }
    this.carried[c] = carried;
  }

  /* The more important, the higher; strictly between 0 and 1, so that frozen and trained never meet. */
  shade(value) {
    const [low, high] = this.scale || [0.8, 1.2];
    const part = (value - low) / (high - low);
    return Math.min(0.999, Math.max(0.001, this.lowMatters ? 1 - part : part));
  }

  value(column, layer) {
    if (!column.seen[layer]) return NaN;
    const norm = column.sums[layer] / column.seen[layer];
    return this.relative ? norm / (column.medianSum / column.medianN) : norm;
  }

  /* From the 5th to the 95th percentile so far; moves at most every 50 steps, and once more when the run has ended. */
  rescale() {
    if (!this.columns.length) return;
    this.scaledAt = Math.floor(this.last / SCALE_EVERY);
    const until = this.ended || this.scaledAt === 0 ? (this.ended ? Infinity : this.first) : this.scaledAt * SCALE_EVERY;
    const values = [];
    for (const column of this.columns) {
      if (column.start > until) break;
      for (let l = 0; l < this.layers; l++) {
        const value = this.value(column, l);
        if (Number.isFinite(value)) values.push(value);
      }
    }
    if (!values.length) return;
    const sorted = Float64Array.from(values).sort();
    let [low, high] = [percentile(sorted, 0.05), percentile(sorted, 0.95)];
    if (this.scaledAt === 0 && !this.ended) {
      // One step says little: leave room around it.
      [low, high] = this.relative ? [Math.min(low, 0.85), Math.max(high, 1.15)] : [low * 0.8, high * 1.25];
    }
    if (high - low < 1e-9 * Math.abs(high) || high === low) [low, high] = [low * 0.9, high * 1.1 || 1];
    this.scale = [low, high];
    this.rebuild();
  }

  setRelative(relative) {
    this.relative = relative;
    this.rescale();
  }

  end() {
    this.ended = true;
    this.rescale();
  }

  edges() {
    const edges = this.columns.map((column) => column.start - 0.5);
    if (edges.length) edges.push(this.last + 0.5);
    return edges;
  }

  centers() {
    return this.columns.map((column) => column.start + (column.n - 1) / 2);
  }

  counts() {
    return this.columns.map((column) => column.trained.reduce((a, b) => a + b, 0) / column.n);
  }

  losses() {
    return this.columns.map((column) => (column.lossN ? column.lossSum / column.lossN : null));
  }

  /* Exponential mean over about ten steps, without its early bias. */
  smoothed() {
    let [mean, weight] = [0, 0];
    return this.columns.map((column) => {
      if (column.lossN) {
        const share = 1 - Math.exp(-column.n / 10);
        mean += share * (column.lossSum / column.lossN - mean);
        weight += share * (1 - weight);
      }
      return weight ? mean / weight : null;
    });
  }

  evaluated(subset, of) {
    return this.evaluations.filter((row) => row[1] === subset && row[2] === of && row[3] !== null);
  }

  latest(subset, of, step = Infinity) {
    const rows = this.evaluated(subset, of).filter((row) => row[0] <= step);
    return rows.length ? rows[rows.length - 1][3] : null;
  }

  /* ---- asking about a cell ---- */

  columnOf(step) {
    if (!this.columns.length || step < this.first || step > this.last) return -1;
    return Math.min(this.columns.length - 1, Math.floor((step - this.first) / this.width));
  }

  about(layer, step) {
    const c = this.columnOf(step);
    if (c < 0 || layer < 0 || layer >= this.layers) return null;
    const column = this.columns[c];
    let back = c;
    while (back >= 0 && !this.columns[back].seen[layer]) back -= 1;
    const source = back >= 0 ? this.columns[back] : null;
    const score = source ? source.sums[layer] / source.seen[layer] : null;
    return {
      start: column.start,
      end: column.start + column.n - 1,
      n: column.n,
      trained: column.trained[layer],
      measuredHere: column.seen[layer] > 0,
      score,
      ratio: source ? score / (source.medianSum / source.medianN) : null,
      measuredFrom: source ? source.start : null,
      measuredTo: source ? source.start + source.n - 1 : null,
    };
  }

  /* Seconds a step from wall time, so that pauses for evaluating count too; NaN where unknown. */
  pace() {
    if (this.tail.length < 2) return NaN;
    const [from, to] = [this.tail[0], this.tail[this.tail.length - 1]];
    return (to[1] - from[1]) / (to[0] - from[0]);
  }
}

function emptyColumn(start, layers) {
  return {
    start, n: 0, sums: new Float64Array(layers), seen: new Uint32Array(layers), trained: new Uint32Array(layers),
    medianSum: 0, medianN: 0, lossSum: 0, lossN: 0,
  };
}

function sum(one, two) {
  if (!two) return one;
  for (const name of ["sums", "seen", "trained"]) for (let l = 0; l < one.sums.length; l++) one[name][l] += two[name][l];
  for (const name of ["n", "medianSum", "medianN", "lossSum", "lossN"]) one[name] += two[name];
  return one;
}
