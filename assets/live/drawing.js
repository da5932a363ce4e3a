/* Drawing: one picture at a time. What is asked for meanwhile waits, and of that only what draws most is drawn; what failed is
   tried again. Knows neither runs nor servers nor what a picture shows. */

const DRAWS = ["", "point", "paint", "lay"]; // each draws all that those before it draw
const RETRY = 3000; // milliseconds from a failure to the next try

class Drawing {
  /* How: key() what the skeleton would be laid for now, visible() whether anything can be seen, before(), lay(key), paint(),
     point(), after(what), failed(error). */
  constructor(how) {
    Object.assign(this, { how, pending: "", laid: null, busy: false, took: 0 });
  }

  /* Whether the skeleton that was laid is still the right one. */
  stands() {
    return this.how.key() === this.laid;
  }

  draw(what = this.stands() ? "paint" : "lay") {
    if (DRAWS.indexOf(what) > DRAWS.indexOf(this.pending)) this.pending = what;
    this.go();
  }

  /* Draws what waits, as long as it can be seen; to be called again when it can. */
  async go() {
    if (this.busy) return;
    this.busy = true;
    while (this.pending && this.how.visible()) {
      try {
        await this.once();
      } catch (error) {
        this.pending = "lay";
        this.how.failed(error);
        await sleep(RETRY);
      }
    }
    this.busy = false;
  }

  async once() {
    const key = this.how.key();
    const what = key === this.laid ? this.pending : "lay";
    this.pending = "";
    const began = performance.now();
    this.how.before();
    if (what === "lay") {
      await this.how.lay(key);
      this.laid = key;
    } else await this.how[what]();
    if (what !== "point") this.took = performance.now() - began; // milliseconds
    this.how.after(what);
  }
}
