/* What the pages do in the browser by themselves: the address keeps the state, cards of presets are radios, the list of
   waiting runs asks for news, the heading shows the machine, and buttons copy. Text that comes from people is only ever set as textContent.
   Loaded in the head, before any page; each page's own markup calls one function here with its element. */
(() => {
  "use strict";
  const PAGES = ["train", "runs", "classify"];
  const studio = (window.irtuning = window.irtuning || {});

  /* --- the address ------------------------------------------------------------------------------------------------ */
  const NAMES = ["run", "adapter", "step"];
  const kept = { train: {}, runs: {}, classify: {} };
  let page = read();
  let later;

  /* Takes over what the address says; the page it names. */
  function read() {
    const said = new URLSearchParams(location.search);
    const name = PAGES.includes(said.get("page")) ? said.get("page") : "train";
    kept[name] = Object.fromEntries(NAMES.map((key) => [key, said.get(key)]).filter(([, value]) => value));
    return name;
  }

  /* `push`: the browser's Back leads to what the address said before. */
  function write(push = false) {
    const next = new URLSearchParams(location.search);
    for (const name of ["page", ...NAMES]) next.delete(name);
    if (page !== "train") next.set("page", page);
    for (const [name, value] of Object.entries(kept[page])) if (value) next.set(name, value);
    const query = next.toString();
    if ("?" + query === (location.search || "?")) return;
    history[push ? "pushState" : "replaceState"](null, "", location.pathname + (query ? "?" + query : "") + location.hash);
  }

  window.addEventListener("popstate", () => {
    page = read();
    studio.open({ page });
  });

  /* gradio opens its first tab before the one the address asks for; until that one is open, or somebody chose, the address stays. */
  let settled = page === PAGES[0];
  for (const kind of ["pointerdown", "keydown"]) {
    document.addEventListener(kind, (event) => { if (event.target.closest?.('[role="tab"]')) settled = true; }, true);
  }
  studio.asked = () => page;
  /* The run that the address names, or named last, for a page; else empty. */
  studio.run = (name) => kept[name].run || "";
  studio.page = (name) => {
    settled ||= name === page;
    if (!settled) return;
    const push = name !== page;
    page = name;
    write(push);
    mark();
    window.dispatchEvent(new Event("resize")); // charts that were hidden measure themselves again
  };
  /* The Train page shows this run now: the address names it, and the list of waiting runs looks again. */
  studio.show = (name, run, look) => {
    studio.keep(name, run ? { run } : {});
    // With folds open, Start may be pressed far below the picture.
    const picture = document.getElementById("ir-watch");
    const { top } = picture.getBoundingClientRect();
    if (look && (top < 0 || top > innerHeight / 2)) picture.scrollIntoView();
    window.dispatchEvent(new Event("irtuning:queue"));
  };
  /* Another page started a run: the Train page shows it. */
  studio.watch = (run) => {
    studio.keep("train", { run });
    studio.open({ page: "train" });
  };
  studio.keep = (name, values) => {
    const same = (kept[name].run || "") === (values.run || "");
    kept[name] = same ? { ...values, step: kept[name].step } : values;
    // The Train page shows whatever runs, so there is nothing to go back to.
    if (name === page) write(name === "runs" && !same);
  };
  const pageOf = (element) => (element.closest("#ir-runs") ? "runs" : "train");
  /* The step of this run that the address points at, null where it points at none. */
  studio.step = (element, run) => {
    const { run: named, step } = kept[pageOf(element)];
    return named === run && /^[1-9]\d*$/.test(step || "") ? Number(step) : null;
  };
  document.addEventListener("irtuning:pin", (event) => {
    const name = pageOf(event.target);
    const { run, step } = event.detail;
    if (step) kept[name] = { run, step };
    else delete kept[name].step;
    // Held keys move faster than browsers let an address change.
    clearTimeout(later);
    later = setTimeout(() => name === page && write(), 250);
  });

  /* --- small helpers ---------------------------------------------------------------------------------------------- */
  function node(tag, className, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  }

  /* Does something with an element once it stands. */
  function once(selector, act, tries = 40) {
    setTimeout(() => {
      const found = document.querySelector(selector);
      if (found) act(found);
      else if (tries) once(selector, act, tries - 1);
    }, 80);
  }

  async function copy(content) {
    try {
      await navigator.clipboard.writeText(content);
    } catch {
      const area = node("textarea");
      area.value = content;
      area.style.position = "fixed";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = button.closest(".ir-snippet, .ir-bring")?.querySelector("code");
    if (!source) return;
    await copy(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    if (!event.target.closest?.("#ir-pair")) return;
    event.preventDefault();
    // The box tells its text a moment after the last key; blur makes it tell at once.
    event.target.blur();
    event.target.focus();
    setTimeout(() => document.querySelector("#ir-classify-go")?.click(), 30);
  });

  /* --- which runs are on: on a phone a run comes before the form ---------------------------------------------------- */
  const states = new Map();
  window.addEventListener("irtuning:state", (event) => {
    const { run, state } = event.detail || {};
    if (!run) return;
    states.set(run, state);
    mark();
  });
  function mark() {
    const on = [...states.values()].some((value) => value === "running" || value === "queued");
    document.querySelector("#ir-train")?.toggleAttribute("data-run-on", on);
  }

  /* --- from the window to Python ------------------------------------------------------------------------------------ */
  studio.bridge = (element, trigger) => {
    window.addEventListener("irtuning:state", (event) => trigger("state", event.detail || {}));
    window.addEventListener("irtuning:open", (event) => {
      const { page: next, run, adapter } = event.detail || {};
      if (PAGES.includes(next) && (run || adapter)) studio.keep(next, next === "classify" ? { adapter } : { run });
      if (PAGES.includes(next)) studio.page(next);
      trigger("open", event.detail || {});
    });
  };
  studio.open = (detail) => window.dispatchEvent(new CustomEvent("irtuning:open", { detail }));

  /* --- the three presets: a group of radios whose value is the chosen one's name --------------------------------------- */
  studio.presets = (element, props, trigger, watch) => {
    const sync = () => {
      for (const input of element.querySelectorAll("input")) input.checked = input.value === props.value;
    };
    const choose = (value) => {
      props.value = value;
      trigger("select", { preset: value });
    };
    element.addEventListener("change", (event) => event.target.matches("input") && choose(event.target.value));
    // The chosen one again, for its settings: a radio that is on does not change.
    element.addEventListener("click", (event) => {
      if (event.target.matches("input") && event.target.value === props.value) choose(props.value);
    });
    watch(["value", "cards"], sync);
    sync();
  };

  /* --- the run as a command and as Python ------------------------------------------------------------------------------------ */
  studio.snippets = (element, props) => {
    element.addEventListener("click", (event) => {
      const which = event.target.closest("[data-open]")?.dataset.open;
      if (which) props.open = props.open === which ? "" : which;
    });
  };

  /* --- rows of a list that open a run, and look for news while they are seen ---------------------------------------------- */
  studio.list = (element, trigger, props, server) => {
    element.addEventListener("click", (event) => {
      const row = event.target.closest("[data-run]");
      if (row) trigger("select", { run: row.dataset.run });
    });
    let stamp = "";
    async function look() {
      if (!element.isConnected) return;
      if (!document.hidden && element.clientWidth) {
        try {
          const answer = await server.news(stamp);
          stamp = answer.stamp;
          if (answer.rows !== undefined) show(answer.rows);
        } catch { /* the app is away for a moment; the next look tells */ }
      }
      setTimeout(look, 5000);
    }
    // gradio keeps the buttons and puts other runs on them: the focus follows its run.
    function show(rows) {
      const held = element.contains(document.activeElement) && document.activeElement.dataset.run;
      props.value = rows;
      if (held) focusRow(held);
    }
    setTimeout(look, 5000);
  };
  const focusRow = (run) => once("#ir-run-list [data-run]", (first) => {
    (document.querySelector(`#ir-run-list [data-run="${run}"]`) || first).focus();
  });
  /* The Runs page shows this run now, or the list: the address names it, and the focus goes where one would go on. */
  studio.opened = (run) => {
    const { run: left } = kept.runs;
    studio.keep("runs", run ? { run } : {});
    if (run) once("#ir-back", (back) => back.focus());
    else if (left) focusRow(left);
  };

  /* --- runs that wait --------------------------------------------------------------------------------------------------- */
  studio.waiting = (element, trigger, server) => {
    const list = node("div", "ir-waiting-list");
    list.setAttribute("aria-live", "polite");
    element.replaceChildren(list);
    let seen = "", busy = false, timer = 0, trouble = "";

    /* The button that had the focus keeps it, or the one that took its place gets it. */
    function draw(entries) {
      const buttons = () => Array.from(list.querySelectorAll("button"));
      const at = buttons().indexOf(document.activeElement);
      const held = buttons()[at]?.dataset.does;
      list.replaceChildren();
      if (entries.length) list.append(node("h3", "ir-heading", "Waiting"), ...entries.map(row));
      if (trouble) list.append(node("div", "ir-note ir-warning", trouble));
      trouble = "";
      if (at >= 0) (buttons().find((button) => button.dataset.does === held) || buttons()[at] || buttons().at(-1))?.focus();
    }

    function row(entry) {
      const line = node("div", "ir-waiting-row");
      const name = node("button", "ir-link", entry.name);
      name.type = "button";
      name.title = "Show this run";
      name.dataset.does = `show ${entry.run}`;
      name.addEventListener("click", () => trigger("select", { run: entry.run }));
      line.append(name, node("span", "ir-quiet", entry.words));
      if (entry.place > 0) {
        const cancel = node("button", "ir-small", "Cancel");
        cancel.type = "button";
        cancel.setAttribute("aria-label", "Cancel " + entry.name);
        cancel.dataset.does = `cancel ${entry.run}`;
        cancel.addEventListener("click", async () => {
          if (cancel.ariaDisabled) return;
          cancel.ariaDisabled = "true"; // one that is disabled in earnest loses the focus
          let answer;
          try {
            answer = await server.cancel(entry.run);
          } catch {
            answer = { error: "The app does not answer: the run was not cancelled." };
          }
          trouble = answer?.error || "";
          seen = ""; // drawn anew, whatever came of it
          ask();
        });
        line.append(cancel);
      }
      return line;
    }

    async function ask() {
      clearTimeout(timer);
      if (!element.isConnected) return;
      if (!busy && !document.hidden) {
        busy = true;
        try {
          const entries = await server.queue();
          const key = JSON.stringify(entries);
          if (key !== seen) {
            seen = key;
            draw(entries);
          }
        } catch { /* the app is away for a moment; the next look tells */ }
        busy = false;
      }
      timer = setTimeout(ask, 2500);
    }
    const soon = () => setTimeout(ask, 150);
    window.addEventListener("irtuning:state", soon);
    window.addEventListener("irtuning:queue", soon);
    document.addEventListener("visibilitychange", soon);
    ask();
  };

  /* --- an answer below the fold is brought into sight -------------------------------------------------------------------- */
  studio.reveal = (selector) => {
    const place = document.querySelector(selector);
    if (!place || place.getBoundingClientRect().top < innerHeight * 0.8) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    place.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  };

  /* --- a file made on demand, fetched once its link stands ------------------------------------------------------------------ */
  studio.fetch = (selector) => once(selector, (link) => link.click());
})();
