/* LiveChart: draws a Series into the figure that the server's skeleton lays out. Plotly keeps one node for the life of the view; data only
   comes in, so that a zoom stays as long as the run does. Knows no server. */

class LiveChart {
  constructor(place) {
    this.node = place;
    this.drawn = false;
    this.revision = 0;
  }

  get ready() {
    return this.drawn;
  }

  async lay(skeleton, series, cursor, run) {
    const { data, layout, config } = skeleton;
    const zoom = this.drawn && run === this.run && this.zoomed() ? this.node.layout.xaxis.range.slice() : null;
    this.run = layout.uirevision = run;
    this.meta = layout.meta;
    layout.datarevision = ++this.revision;
    layout.width = Math.max(200, this.node.clientWidth);
    this.node.style.height = `${layout.height}px`;
    fillLive(data, layout, this.meta, series, cursor);
    this.whole = axisRange(series);
    layout.xaxis.range = this.whole.slice(); // plotly writes into it
    if (zoom && zoom[1] <= this.whole[1] + 1) layout.xaxis.range = zoom;
    if (this.drawn) await Plotly.react(this.node, data, layout, config);
    else await Plotly.newPlot(this.node, data, layout, config);
    this.drawn = true;
  }

  async paint(series, cursor) {
    if (!this.drawn) return;
    const { data, layout } = this.node;
    const zoomed = this.zoomed();
    fillLive(data, layout, this.meta, series, cursor);
    this.whole = axisRange(series);
    if (!zoomed) layout.xaxis.range = this.whole.slice();
    layout.datarevision = ++this.revision;
    await Plotly.react(this.node, data, layout);
  }

  /* Moves the cursor alone: no data is drawn again. */
  async point(series, cursor) {
    if (!this.drawn) return;
    const { shapes, annotations } = this.node.layout;
    const next = { shapes: shapes.map((shape) => ({ ...shape })), annotations: annotations.map((one) => ({ ...one })) };
    fillCursor(next, this.meta, series, cursor);
    // By single values: whole lists would make plotly draw everything again.
    const changes = {};
    for (const name of ["shapes", "annotations"]) {
      next[name].forEach((one, i) => Object.entries(one).forEach(([key, value]) => {
        if (typeof value !== "object" && value !== this.node.layout[name][i][key]) changes[`${name}[${i}].${key}`] = value;
      }));
    }
    if (Object.keys(changes).length) await Plotly.relayout(this.node, changes);
  }

  async resize() {
    if (!this.drawn || !this.node.clientWidth || this.node.clientWidth === this.node.layout.width) return;
    await Plotly.relayout(this.node, { width: this.node.clientWidth });
  }

  zoomed() {
    const range = this.node.layout.xaxis.range;
    return Math.abs(range[0] - this.whole[0]) > 0.5 || Math.abs(range[1] - this.whole[1]) > 0.5;
  }

  async showAll() {
    if (this.drawn) await Plotly.relayout(this.node, { "xaxis.range": this.whole.slice() });
  }

  /* Layer and step under a point of the page; layer null below the heatmap, all null outside. */
  at(clientX, clientY) {
    if (!this.drawn) return null;
    const box = this.node.getBoundingClientRect();
    const { xaxis, yaxis, yaxis4 } = this.node._fullLayout;
    const [x, y] = [clientX - box.left - xaxis._offset, clientY - box.top - yaxis._offset];
    const bottom = yaxis4._offset + yaxis4._length - yaxis._offset;
    if (x < 0 || x > xaxis._length || y < 0 || y > bottom) return null;
    const step = Math.round(xaxis.p2d(x));
    const inside = y <= yaxis._length;
    return { step, layer: inside ? Math.round(yaxis.p2d(y)) : null };
  }

  /* Where a cell's middle lies, relative to the node. */
  place(layer, step) {
    const { xaxis, yaxis } = this.node._fullLayout;
    return { x: xaxis._offset + xaxis.d2p(step), y: yaxis._offset + yaxis.d2p(layer ?? 0) };
  }
}

/* The steps in sight. While a run is live a part of its future is: an eighth of the run at first, so that the first steps can be seen,
   and twice as much whenever that is nearly full. A run that has ended fills the axis. */
function axisRange(series) {
  let end = series.total;
  if (series.ended) end = series.last;
  else for (let part = Math.max(24, Math.ceil(series.total / 8)); part < series.total; part *= 2) {
    if (series.last > 0.9 * part) continue;
    end = part;
    break;
  }
  return [0.5, Math.max(end, 1) + 0.5];
}

function fillLive(data, layout, meta, series, cursor) {
  const { traces } = meta;
  const edges = series.edges();
  const centers = series.centers();
  const counts = series.counts();
  Object.assign(data[traces.cells], { x: edges, z: edges.length ? series.cells : [] });
  if (series.scale) meta.scale = series.scale;
  const steps = Math.max(1, series.last - series.first + 1);
  data[traces.share].x = Array.from(series.trainedSteps, (count) => (series.columns.length ? count / steps : null));
  Object.assign(data[traces.count], { x: edges, y: counts.length ? [...counts, counts[counts.length - 1]] : [] });
  Object.assign(data[traces.loss], { x: centers, y: series.losses() });
  Object.assign(data[traces.smooth], { x: centers, y: series.smoothed() });
  const network = series.evaluated("validation", "network");
  Object.assign(data[traces.network], { x: network.map((row) => row[0]), y: network.map((row) => row[3]) });
  const floor = series.latest("validation", "floor");
  layout.yaxis4.range = [0, 1.12 * Math.max(0.2, floor ?? 0, ...network.map((row) => row[3]))];
  Object.assign(data[traces.floor], floor === null ? { x: [], y: [] } : { x: [0.5, series.total + 0.5], y: [floor, floor] });
  fillCursor(layout, meta, series, cursor);
}

function fillCursor(layout, meta, series, cursor) {
  const { shapes, annotations } = layout;
  const there = series.columns.length > 0;
  const step = cursor.step ?? series.last;
  const c = series.columnOf(step);
  Object.assign(shapes[meta.shapes.cursor], { x0: step, x1: step, visible: there });
  const column = c >= 0 ? series.columns[c] : null;
  const boxed = column && cursor.step !== null && cursor.layer !== null;
  Object.assign(shapes[meta.shapes.cell], boxed
    ? { visible: true, x0: column.start - 0.5, x1: column.start + column.n - 0.5, y0: cursor.layer - 0.5, y1: cursor.layer + 0.5 }
    : { visible: false });
  const count = column ? column.trained.reduce((a, b) => a + b, 0) / column.n : NaN;
  const network = series.latest("validation", "network", step);
  const floor = series.latest("validation", "floor");
  const text = {
    count_now: column ? `${Number.isInteger(count) ? count : count.toFixed(1)} of ${series.layers}` : "",
    loss_now: column ? fixed(series.smoothed()[c]) : "",
    f1_now: [
      network === null ? "" : `<span style="color:${meta.accent}">${fixed(network)}</span>`,
      floor === null ? "" : `bag of<br>edits ${fixed(floor)}`,
    ].filter(Boolean).map((line, index) => (index ? line : `validation<br>${line}`)).join("<br>"),
  };
  for (const [name, index] of Object.entries(meta.annotations)) annotations[index].text = text[name];
}
