/* Explaining: keeps the why panel at the step that is looked at, one question at a time. Knows neither servers nor which run it is. */

const WHY_EVERY = 900; // milliseconds between two questions where the step moves by itself
const UNANSWERED = 3000; // milliseconds from a question without an answer to the next one

class Explaining {
  /* How: looked() gives {step, live}: the step to explain, 0 for none, and whether it moves by itself; ask(step) gives what the
     panel is to tell, null for nothing. */
  constructor(panel, how) {
    Object.assign(this, { panel, how, step: 0, busy: false, asked: 0 });
  }

  forget() {
    this.step = 0;
    this.panel.forget();
  }

  async explain() {
    const { step, live } = this.how.looked();
    if (!step || this.busy || step === this.step) return;
    const wait = live ? WHY_EVERY - (performance.now() - this.asked) : 0;
    if (wait > 0) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.explain(), wait);
      return;
    }
    Object.assign(this, { busy: true, asked: performance.now(), step });
    try {
      const answer = await this.how.ask(step);
      if (answer) await this.panel.tell(answer);
    } catch {
      // The next question about the run says that the app does not answer.
      this.step = 0;
      await sleep(UNANSWERED);
    }
    this.busy = false;
    this.explain(); // what is looked at may have moved on meanwhile
  }
}
