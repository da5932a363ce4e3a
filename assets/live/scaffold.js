/* Scaffold: the elements a view is made of, their words for screen readers, plotly's script, and the browser tab's title. */

function scaffold(root) {
  root.replaceChildren();
  const empty = node("p", "irl-nothing", "No run is shown. Start one, and its layers appear here.");
  const card = node("section", "irl-run");
  card.setAttribute("aria-label", "Live view of a run");
  const top = node("div", "irl-top");
  const body = node("div", "irl-body");
  const main = node("div", "irl-main");
  const picture = node("div", "irl-chart");
  const summary = node("p", "irl-unseen");
  summary.id = `irl-summary-${Math.random().toString(36).slice(2)}`;
  picture.tabIndex = 0;
  picture.setAttribute("role", "group");
  picture.setAttribute("aria-roledescription", "heatmap");
  picture.setAttribute("aria-label", "Layers by step. Arrow keys move over the cells, Escape goes back to the latest step.");
  picture.setAttribute("aria-describedby", summary.id);
  const spoken = node("p", "irl-unseen");
  spoken.setAttribute("aria-live", "polite");
  main.append(picture, summary, spoken);
  const aside = node("div", "irl-why");
  const [title, panel, sentence, proof] = [node("h3"), node("div", "irl-why-chart"), node("p", "irl-told"), node("p", "irl-told")];
  panel.setAttribute("role", "img");
  panel.setAttribute("aria-label", "Layers ranked by score, and the variance each split would leave; told in the sentence below.");
  aside.append(title, panel, sentence, proof);
  const tip = node("div", "irl-tip");
  tip.hidden = true;
  body.append(main, aside, tip);
  card.append(top, body);
  root.append(empty, card);
  return { root, empty, card, top, body, main, picture, summary, spoken, title, panel, sentence, proof, tip };
}

/* One script for all views of a page; the address is relative to the page, so that it works below any path. */
function loadPlotly(address) {
  if (window.Plotly) return Promise.resolve();
  window.irtuningPlotly ??= new Promise((resolve, reject) => {
    const script = node("script");
    script.src = new URL(address, document.baseURI).href;
    script.onload = resolve;
    script.onerror = () => {
      delete window.irtuningPlotly;
      reject(new Error("plotly could not be loaded"));
    };
    document.head.append(script);
  });
  return window.irtuningPlotly;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/* The tab's title tells how far a run is; a run that had ended before it was looked at leaves the title alone. */
class TabTitle {
  show(state, head, series) {
    if (state === "running" && head.steps) {
      // Once a page: another view may have put its own there.
      document.documentElement.dataset.title ??= document.title;
      this.taken = true;
      document.title = `${Math.floor((100 * series.last) / head.steps)} % · ${head.name}`;
    } else if (this.taken && ENDED.includes(state)) {
      document.title = `${{ finished: "✓", stopped: "■" }[state] || "✗"} ${head.name}`;
    }
  }

  restore() {
    if (this.taken) document.title = document.documentElement.dataset.title;
    this.taken = false;
  }
}

/* What a picture shows, for who cannot see it. */
function summarised(head, state, series, ending, sentence) {
  const steps = series.last - series.first + 1;
  const most = Array.from(series.trainedSteps, (count, layer) => ({ layer, share: count / steps }))
    .sort((a, b) => b.share - a.share).slice(0, 5).map(({ layer, share }) => `${series.nameOf(layer)} (${Math.round(share * 100)} %)`);
  return `Step ${series.last} of ${head.steps}. Trained most often: ${most.join(", ")}. `
    + `${facts({ head, state, series, ending }).join(", ")}. ${sentence}`;
}
