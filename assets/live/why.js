/* WhyPanel: scores ranked, the split and its variance curve, drawn into the server's second skeleton; and both sentences. */

class WhyPanel {
  constructor(place, title, sentence, proof) {
    Object.assign(this, { node: place, title, sentence, proof, drawn: false, revision: 0, told: null });
  }

  async lay(skeleton) {
    const { data, layout, config } = skeleton;
    this.meta = layout.meta;
    layout.datarevision = ++this.revision;
    layout.width = Math.max(160, this.node.clientWidth);
    this.node.style.height = `${layout.height}px`;
    if (this.told) fillWhy(data, layout, this.meta, this.told);
    if (this.drawn) await Plotly.react(this.node, data, layout, config);
    else await Plotly.newPlot(this.node, data, layout, config);
    this.drawn = true;
  }

  async tell(answer) {
    this.told = { ...answer, trained: unmask(answer.trained, answer.layers) };
    say(this.title, `Why these ${answer.unit || "layer"}s at step ${answer.step.toLocaleString("en")}`);
    say(this.sentence, answer.sentence);
    say(this.proof, answer.proof);
    this.proof.classList.toggle("irl-alarm", answer.alarm);
    if (!this.drawn) return;
    const { data, layout } = this.node;
    fillWhy(data, layout, this.meta, this.told);
    layout.datarevision = ++this.revision;
    await Plotly.react(this.node, data, layout);
  }

  forget() {
    this.told = null;
    for (const place of [this.title, this.sentence, this.proof]) say(place, "");
  }

  async resize() {
    if (!this.drawn || !this.node.clientWidth || this.node.clientWidth === this.node.layout.width) return;
    await Plotly.relayout(this.node, { width: this.node.clientWidth });
  }

  /* The row under a point of the page: what it says of its layer. */
  at(clientX, clientY) {
    if (!this.drawn || !this.told) return null;
    const box = this.node.getBoundingClientRect();
    const { yaxis } = this.node._fullLayout;
    const y = clientY - box.top - yaxis._offset;
    if (y < 0 || y > yaxis._length || clientX < box.left || clientX > box.right) return null;
    const row = Math.round(yaxis.p2d(y));
    const { order, ranked, since, trained } = this.told;
    if (order[row] === undefined) return null;
    return { row, layer: order[row], score: ranked[row], since: since[row], trained: trained[row], rows: order.length };
  }
}

function fillWhy(data, layout, meta, told) {
  const { traces, shapes } = meta;
  const { order, ranked, trained, curve, window: allowed, minimum, kept } = told;
  const rows = order.map((_, row) => row);
  const known = ranked.filter((score) => score !== null);
  const most = known.length ? Math.max(...known) : 1;
  data[traces.trained].x = rows.map((row) => (ranked[row] !== null && trained[row] ? ranked[row] : null));
  data[traces.frozen].x = rows.map((row) => (ranked[row] !== null && !trained[row] ? ranked[row] : null));
  // Never measured: an outline as long as the axis, and no number. It counts as 1000, which no axis could show beside the others.
  data[traces.unknown].x = rows.map((row) => (ranked[row] === null ? most * 1.06 : null));
  const how = rows.map((row) => (trained[row] ? "trained" : "frozen"));
  data[traces.unknown].marker.color = how.map((name) => meta.fill[name]);
  data[traces.unknown].marker.line.color = how.map((name) => meta.outline[name]);
  for (const name of ["trained", "frozen", "unknown"]) data[traces[name]].y = rows;
  layout.xaxis.range = [0, most * 1.08];
  layout.xaxis.showticklabels = known.length > 0;
  layout.yaxis.ticktext = order.map((layer, row) => (row % meta.label_every === 0 ? String(layer) : ""));
  const there = Boolean(curve);
  Object.assign(data[traces.curve], there ? { x: curve, y: curve.map((_, i) => i + 0.5) } : { x: [], y: [] });
  Object.assign(data[traces.minimum], there ? { x: [curve[minimum - 1]], y: [minimum - 0.5] } : { x: [], y: [] });
  layout.xaxis2.title.text = there ? "variance" : "";
  if (there) {
    const [low, high] = [Math.min(...curve), Math.max(...curve)];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    layout.xaxis2.range = [low - room, high + room];
  }
  Object.assign(layout.shapes[shapes.window], there
    ? { visible: true, y0: allowed[0] - 0.5, y1: allowed[1] - 0.5 } : { visible: false });
  Object.assign(layout.shapes[shapes.split], there ? { visible: true, y0: kept - 0.5, y1: kept - 0.5 } : { visible: false });
}
