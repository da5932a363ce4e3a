/* View: one run in one element. Asks the server for what is new, hands it to the series, tells the others when to show it.
   Text that people wrote is only ever set as textContent. */

const PACE = { live: 90, queued: 500, hidden: 2000, ended: 5000, failing: 3000 }; // milliseconds from an answer to the next ask
const WAIT = 2500; // milliseconds that the server may wait for something new before it answers
const WIDE = 720; // pixels from which the panel stands beside the chart
const UNDRAWN = "The picture could not be drawn; trying again …";

class View {
  constructor(element, props, server) {
    Object.assign(this, { props, server, turn: 0, series: new Series(), cursor: { step: null, layer: null } });
    this.parts = scaffold(element.querySelector(".ir-live"));
    this.tab = new TabTitle();
    this.build();
    this.watchPage();
    loadPlotly(props.plotly).catch(() => {}); // early, beside the first questions; whoever draws hears of a failure
    this.attach(props.value || "");
  }

  build() {
    const { root, top, body, main, picture, title, panel, sentence, proof, tip } = this.parts;
    this.root = root;
    this.header = new Header(top, {
      stop: () => this.askStop(),
      tryIt: () => this.go({ page: "classify", adapter: this.run }),
      open: () => this.go({ page: "runs", run: this.run }),
    });
    this.key = new Key({
      relative: (relative) => {
        this.series.setRelative(relative);
        this.drawing.draw("paint");
      },
      live: () => this.pin(null, null),
      all: () => this.chart.showAll(),
    });
    main.prepend(this.key.place);
    this.chart = new LiveChart(picture);
    this.why = new WhyPanel(panel, title, sentence, proof);
    this.explaining = new Explaining(this.why, { looked: () => this.looked(), ask: (step) => this.askWhy(step) });
    this.drawing = new Drawing({
      key: () => this.skeletonKey(),
      visible: () => this.series.layers > 0 && this.visible(),
      before: () => this.beforeDrawing(),
      lay: (key) => this.lay(key),
      paint: () => this.chart.paint(this.series, this.cursor),
      point: () => this.chart.point(this.series, this.cursor),
      after: (what) => this.drawn(what),
      failed: (error) => {
        console.error(error);
        this.undrawn = UNDRAWN;
        this.show();
      },
    });
    this.pointer = new Pointer({
      frame: body, chart: this.chart, why: this.why, tip, series: this.series, cursor: this.cursor,
      onPin: (step, layer) => this.pin(step, layer), onMove: () => this.pointed(), onAll: () => this.chart.showAll(),
    });
  }

  watchPage() {
    const recolour = () => this.drawing.laid && !this.drawing.stands() && this.drawing.draw("lay");
    this.observers = [new MutationObserver(recolour), new ResizeObserver(() => this.resized())];
    this.observers[0].observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.observers[1].observe(this.root);
    this.onVisible = () => !document.hidden && this.wake();
    document.addEventListener("visibilitychange", this.onVisible);
    this.clock = setInterval(() => this.ticking(), 1000);
  }

  leave() {
    this.turn += 1;
    this.observers.forEach((observer) => observer.disconnect());
    document.removeEventListener("visibilitychange", this.onVisible);
    clearInterval(this.clock);
    this.pointer.leave();
    if (window.Plotly) for (const part of [this.chart, this.why]) if (part.drawn) Plotly.purge(part.node);
  }

  /* ---- which run ---- */

  attach(run) {
    if (run === this.run) return;
    this.turn += 1;
    clearTimeout(this.timer);
    this.tab.restore();
    Object.assign(this, {
      run, offset: 0, state: "", phase: null, ending: null, place: 0, error: "", undrawn: "", refused: "", began: null, stopping: false, adapter: false,
      notices: [],
    });
    this.head = { name: "", layers: 0, steps: 0 };
    this.series.clear(0, 0);
    Object.assign(this.cursor, { step: null, layer: null });
    this.asked = (run && window.irtuning?.step?.(this.root, run)) || null;
    this.explaining.forget();
    this.pointer.hide();
    this.header.showNotices([]);
    this.show();
    if (run) this.ask(this.turn);
  }

  async ask(turn) {
    let answer;
    try {
      answer = await this.server.poll({ run: this.run, offset: this.offset, wait: this.offset && this.visible() ? WAIT : 0 });
    } catch {
      answer = null;
    }
    if (turn !== this.turn) return;
    if (!this.root.isConnected) return this.leave();
    if (!answer) this.error = "The app does not answer. The run goes on without it; asking again …";
    else if (answer.error) this.error = answer.error;
    else {
      this.error = "";
      this.take(answer);
    }
    this.show();
    const pause = this.pause(answer);
    if (pause < Infinity) this.timer = setTimeout(() => this.ask(turn), pause);
  }

  pause(answer) {
    if (!answer || answer.error) return PACE.failing;
    if (this.again) return 0;
    if (this.settled()) return Infinity;
    if (ENDED.includes(this.state)) return PACE.ended;
    if (!this.visible()) return PACE.hidden;
    if (this.state === "queued") return PACE.queued;
    return Math.max(PACE.live, Math.min(600, 1.5 * this.drawing.took));
  }

  /* Whether nothing can come any more: a run that has ended otherwise may be resumed. */
  settled() {
    return this.state === "finished" || this.head.recorded === true;
  }

  wake() {
    if (!this.run) return;
    this.drawing.go();
    if (this.settled()) return;
    clearTimeout(this.timer);
    this.turn += 1;
    this.ask(this.turn);
  }

  take(answer) {
    const before = this.state;
    this.again = false;
    this.state = answer.state;
    this.place = answer.place || 0;
    this.adapter = answer.adapter || false;
    this.stopping ||= answer.stopping || false; // somebody else may have asked for it
    if (answer.reset) {
      this.head = answer.head;
      this.series.reset(answer);
      this.notices = answer.notices;
      this.header.showNotices(this.notices);
      this.phase = answer.phase || null;
      this.began = null;
      this.ending = answer.ending || null;
      if (answer.now !== null) this.zero = performance.now() / 1000 - answer.now;
    }
    for (const row of answer.reset ? [] : answer.steps || []) {
      if (this.series.append(row)) continue;
      this.offset = 0; // something is missing here: ask for the whole again
      this.again = true;
      return;
    }
    this.offset = answer.offset;
    this.began ??= answer.began ?? null;
    if (!answer.reset) {
      if (answer.evaluations) this.series.evaluations.push(...answer.evaluations);
      if (answer.notices) this.header.showNotices((this.notices = [...this.notices, ...answer.notices].slice(-12)));
      if (answer.phase) this.phase = answer.phase;
      if (answer.ending) {
        this.ending = answer.ending;
        this.series.end();
      }
    }
    if (answer.reset || answer.steps || answer.evaluations || answer.ending) this.drawing.draw();
    if (this.state !== before) this.changed(before);
  }

  changed(before) {
    this.refused = "";
    if (ENDED.includes(this.state)) {
      this.stopping = false;
      this.summarise();
    }
    if (before) say(this.parts.spoken, `${this.head.name}: ${STATES[this.state] || this.state}`);
    else if (ENDED.includes(this.state)) return; // it had ended before it was looked at: nothing changed
    window.dispatchEvent(new CustomEvent("irtuning:state", { detail: { run: this.run, state: this.state } }));
  }

  async askStop() {
    Object.assign(this, { stopping: true, refused: "" });
    this.show();
    const { run } = this;
    let answer = null;
    try {
      answer = await this.server.stop_run({ run });
    } catch {
      answer = { error: "The app does not answer: the run was not stopped." };
    }
    if (answer.error && run === this.run) {
      Object.assign(this, { stopping: false, refused: answer.error });
      this.show();
    }
  }

  go(detail) {
    window.dispatchEvent(new CustomEvent("irtuning:open", { detail }));
  }

  /* ---- what is seen ---- */

  visible() {
    return !document.hidden && this.root.isConnected && this.root.clientWidth > 0;
  }

  show() {
    this.parts.empty.hidden = Boolean(this.run);
    this.parts.card.hidden = !this.run;
    if (!this.run) return;
    const drawable = this.series.layers > 0 && (this.series.last > 0 || this.state === "running");
    this.parts.body.hidden = !drawable;
    this.header.show({
      ...this, error: this.error || this.undrawn || this.refused, stoppable: this.props.stoppable, linked: this.props.linked,
      elapsed: this.phase && this.zero !== undefined ? performance.now() / 1000 - this.zero - this.phase.time : -1,
    });
    this.key.pinned(this.cursor.step !== null, this.state === "running");
    this.tab.show(this.state, this.head, this.series);
  }

  ticking() {
    if (!this.root.isConnected) return this.leave();
    if (this.run && this.state === "running" && this.phase && this.phase.name !== "training") this.show();
    if (this.run && this.state === "running" && this.series.last && performance.now() - (this.summarised || 0) > 10000) this.summarise();
  }

  summarise() {
    this.summarised = performance.now();
    if (!this.series.last) return;
    say(this.parts.summary, summarised(this.head, this.state, this.series, this.ending, this.parts.sentence.textContent));
  }

  pointed() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      if (document.activeElement === this.chart.node) say(this.parts.spoken, Array.from(this.parts.tip.children, (line) => line.textContent).join(", "));
    }, 250);
  }

  pin(step, layer) {
    this.asked = null;
    Object.assign(this.cursor, { step, layer });
    this.root.dispatchEvent(new CustomEvent("irtuning:pin", { bubbles: true, detail: { run: this.run, step } }));
    this.key.pinned(step !== null, this.state === "running");
    this.drawing.draw("point");
    this.explaining.explain();
  }

  looked() {
    const step = this.visible() ? this.cursor.step ?? this.series.last : 0;
    return { step, live: this.cursor.step === null && this.state === "running" };
  }

  async askWhy(step) {
    const { run } = this;
    const answer = await this.server.explain_step({ run, step });
    return run === this.run && !answer.error ? answer : null;
  }

  /* ---- what is drawn ---- */

  skeletonKey() {
    const theme = document.body.classList.contains("dark") ? "dark" : "light";
    return [this.series.layers, this.head.steps, theme, this.root.clientWidth >= WIDE, this.series.unit, this.run].join(" ");
  }

  beforeDrawing() {
    if (this.asked && this.asked <= this.series.last) {
      Object.assign(this.cursor, { step: this.asked, layer: null });
      this.asked = null;
    }
    this.show();
  }

  drawn(what) {
    if (this.undrawn) {
      this.undrawn = "";
      this.show();
    }
    if (what !== "point") {
      this.key.scale(this.series, this.chart.meta);
      const detail = { run: this.run, step: this.series.last };
      requestAnimationFrame(() => window.dispatchEvent(new CustomEvent("irtuning:painted", { detail })));
    }
    this.explaining.explain();
  }

  async lay(key) {
    const [layers, steps, theme, wide, unit, run] = key.split(" ");
    const question = { layers: Number(layers), steps: Math.max(1, Number(steps) || this.series.last), theme, wide: wide === "true", unit };
    const [answer] = await Promise.all([this.server.skeletons(question), loadPlotly(this.props.plotly)]);
    if (answer.error) throw new Error(answer.error);
    this.root.classList.toggle("irl-wide", wide === "true");
    await this.chart.lay(answer.live, this.series, this.cursor, run);
    await this.why.lay(answer.why);
    const zoomed = () => this.key.zoomed(this.chart.zoomed());
    if (!this.listening) this.chart.node.on("plotly_relayout", zoomed);
    this.listening = true;
    zoomed();
  }

  resized() {
    const appeared = !this.seen;
    this.seen = this.root.clientWidth > 0;
    if (!this.seen) return;
    if (appeared) this.wake();
    clearTimeout(this.resizing);
    this.resizing = setTimeout(() => {
      if (this.drawing.stands()) this.drawing.go();
      else this.drawing.draw("lay");
      this.chart.resize();
      this.why.resize();
      this.explaining.explain();
    }, 60);
  }
}

const view = new View(element, props, server);
watch("value", () => view.attach(props.value || ""));
