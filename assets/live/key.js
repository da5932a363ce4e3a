/* Key: what the colours mean, the switch between relative and raw, and the ways back to the latest step and to the whole run. */

const SCORES = { gradient: "norm", weight: "weight norm", cosine: "cosine similarity" };

class Key {
  constructor(actions) {
    this.place = node("div", "irl-key");
    const first = this.place.appendChild(node("div", "irl-key-line"));
    this.title = first.appendChild(node("span", "irl-key-title"));
    const choice = first.appendChild(node("span", "irl-switch"));
    choice.setAttribute("role", "group");
    choice.setAttribute("aria-label", "What the colours show");
    this.choices = [["relative", true], ["raw", false]].map(([text, relative]) => {
      const button = choice.appendChild(node("button", "", text));
      button.type = "button";
      button.addEventListener("click", () => {
        this.choose(relative);
        actions.relative(relative);
      });
      return { button, relative };
    });
    this.live = this.back(first, "Back to live", actions.live);
    this.all = this.back(first, "All steps", actions.all);
    const second = this.place.appendChild(node("div", "irl-key-line"));
    const trained = second.appendChild(node("span", "irl-key-item"));
    this.least = trained.appendChild(node("span", "irl-key-number"));
    this.ramp = trained.appendChild(node("span", "irl-ramp"));
    this.most = trained.appendChild(node("span", "irl-key-number"));
    trained.append(node("span", "", "trained in this step"));
    const frozen = second.appendChild(node("span", "irl-key-item"));
    this.frozen = frozen.appendChild(node("span", "irl-ramp irl-short"));
    frozen.append(node("span", "", "frozen, last score"));
    const never = second.appendChild(node("span", "irl-key-item"));
    never.append(node("span", "irl-never"), node("span", "", "never measured"));
    this.choose(true);
  }

  back(line, text, action) {
    const button = line.appendChild(node("button", "irl-back", text));
    button.type = "button";
    button.hidden = true;
    button.addEventListener("click", action);
    return button;
  }

  choose(relative) {
    for (const choice of this.choices) choice.button.setAttribute("aria-pressed", String(choice.relative === relative));
  }

  scale(series, meta) {
    const [low, high] = series.scale || [NaN, NaN];
    const [least, most] = series.lowMatters ? [high, low] : [low, high];
    const name = `${SCORES[series.metric] || "score"}${series.relative ? " ÷ the step's median" : ""}`;
    say(this.title, series.lowMatters ? `${name}, lower is more important` : name);
    say(this.least, series.relative ? fixed(least) : figures(least));
    say(this.most, series.relative ? fixed(most) : figures(most));
    this.ramp.style.background = `linear-gradient(to right, ${meta.ramp.join(", ")})`;
    this.frozen.style.background = `linear-gradient(to right, ${meta.frozen.join(", ")})`;
  }

  pinned(pinned, live) {
    this.live.hidden = !pinned;
    say(this.live, live ? "Back to live" : "Last step");
  }

  zoomed(zoomed) {
    this.all.hidden = !zoomed;
  }
}
