"""What a finished run came to, as markup: the comparison with the bag of edits, each intention, confusions, rows it got wrong,
settings. Pure: plain values in, markup out; knows no gradio and no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from irtuning import catalogue
from irtuning.config import RunConfig, parse_config
from irtuning.errors import StudioError
from irtuning.revisions.corpora import label_meanings
from irtuning.runs.description import plain_config
from irtuning.ui import form
from irtuning.ui.marks import marked
from irtuning.ui.words import gigabytes, number, plural, score, text, took
from irtuning.ui.words import label as intention

_FIGURES = (("accuracy", "Accuracy"), ("macro_f1", "Macro-F1"), ("weighted_f1", "Weighted F1"), ("au_prc", "AU-PRC"))


NOT_SHOWN = '<p class="ir-quiet">Rows of an uploaded file are not shown here: everybody can open this page.</p>'


BAG = (
    '<p class="ir-quiet ir-small-text">The bag of edits is a plain rival: logistic regression on the words that went and came and a '
    "few numbers of the edit, trained on the same rows.</p>"
)


def report(config: Mapping[str, Any], metrics: Mapping[str, Any] | None, *, public: bool = False) -> str:
    """Everything below a run's picture.

    Args:
        config: of config.json. metrics: of metrics.json, None where the run has none.
        public: others than the run's owner can read it, so the rows of a file somebody uploaded are left out.
    """
    if not metrics:
        return f'<div class="ir-report">{_section("Settings", settings(config))}</div>'
    labels = metrics["labels"]
    left = (
        _section("Against the bag of edits", verdict(metrics) + figures_table(metrics) + BAG)
        + _section("What was taken for what", confusion(labels, metrics["confusion"]))
    )
    right = (
        _section("Each intention", per_class(labels, metrics["network"], metrics.get("floor")))
        + _section("What it took", cost(metrics))
        + _section("Settings", settings(config))
    )
    own = public and config.get("dataset_name") not in catalogue.CORPORA
    wrong = _section("Rows it got wrong", NOT_SHOWN if own else wrong_rows(metrics.get("wrong", ())))
    return f'<div class="ir-report"><div class="ir-stack">{left}</div><div class="ir-stack">{right}</div>{wrong}</div>'


def _section(title: str, inside: str) -> str:
    return f'<section class="ir-panel ir-section"><h2>{text(title)}</h2>{inside}</section>'


def verdict(metrics: Mapping[str, Any]) -> str:
    """Whether the network beat the floor, in one sentence, with the interval and the rows it rests on."""
    gap = metrics.get("difference")
    if not gap:
        return ""
    network, floor = metrics["network"]["macro_f1"], metrics["floor"]["macro_f1"]
    both = f"Macro-F1 {network:.2f}, the bag of edits {floor:.2f}"
    between = (
        f"a difference of {_signed(gap['macro_f1'])} (95 % interval {_signed(gap['low'])} to {_signed(gap['high'])}, "
        f"{plural(gap['rows'], 'test row')})"
    )
    if not gap["clear"]:
        said, kind = f"No clear difference. {both}: {between}; it contains 0.", "even"
    elif gap["macro_f1"] > 0:
        said, kind = f"The network beats the bag of edits. {both}: {between}.", "good"
    else:
        said, kind = f"The network does not beat the bag of edits. {both}: {between}.", "bad"
    first, _, rest = said.partition(". ")
    return f'<p class="ir-verdict ir-{kind}"><strong>{text(first)}.</strong> {text(rest)}</p>'


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def figures_table(metrics: Mapping[str, Any]) -> str:
    """The closing figures, the network's beside the floor's."""
    floor = metrics.get("floor") or {}
    rows = "".join(
        f"<tr><th scope=row>{words}</th><td>{score(metrics['network'].get(key))}</td><td>{score(floor.get(key))}</td></tr>"
        for key, words in _FIGURES
    )
    return (
        '<table class="ir-table ir-figures"><thead><tr><td></td><th scope=col>network</th><th scope=col>bag of edits</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def per_class(labels: Sequence[str], network: Mapping[str, Any], floor: Mapping[str, Any] | None) -> str:
    """F1 of each intention as bars, the network's above the floor's, with how many test rows it has."""
    meanings = label_meanings(labels)
    ours, theirs = network["per_class"], (floor or {}).get("per_class", {})
    rows = []
    for label in labels:
        one, two = ours.get(label, {}), theirs.get(label, {})
        bars = _bar(one.get("f1"), "") + (_bar(two.get("f1"), " ir-bar-floor") if theirs else "")
        rows.append(
            f'<div class="ir-class"><div><span class="ir-class-name">{intention(label)}</span> '
            f'<span class="ir-quiet">{plural(int(one.get("support", 0)), "row")}</span>'
            f'<div class="ir-quiet ir-small-text">{text(meanings.get(label, ""))}</div></div>'
            f'<div class="ir-class-bars">{bars}</div></div>'
        )
    key = '<span class="ir-key"><i class="ir-key-network"></i>network</span>'
    if theirs:
        key += '<span class="ir-key"><i class="ir-key-floor"></i>bag of edits</span>'
    return f'<p class="ir-quiet ir-keys">F1 {key}</p>{"".join(rows)}'


def _bar(value: float | None, kind: str) -> str:
    width = 0 if value is None else max(0.0, min(1.0, value)) * 100
    return (
        f'<div class="ir-bar-line"><span class="ir-bar{kind}"><i style="width:{width:.1f}%"></i></span>'
        f'<span class="ir-figure">{score(value)}</span></div>'
    )


FEW = 5
"""Intentions whose names fit side by side over the confusions."""


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Test rows by true intention (down) and the network's answer (across); darker: a larger part of the row."""
    head = "".join(f'<th scope=col><span>{intention(label)}</span></th>' for label in labels)
    rows = []
    for i, (label, row) in enumerate(zip(labels, counts, strict=True)):
        total = sum(row)
        cells = "".join(
            f'<td class="{"ir-hit" if i == j else "ir-miss"}" style="--part:{count / total if total else 0:.3f}" '
            f'title="{text(label)} taken for {text(labels[j])}: {count} of {total}">{count or "·"}</td>'
            for j, count in enumerate(row)
        )
        rows.append(f"<tr><th scope=row>{intention(label)}</th>{cells}<td class=ir-total>{total}</td></tr>")
    many = " ir-many" if len(labels) > FEW else ""
    return (
        '<div class="ir-table-scroll" tabindex="0" role="region" aria-label="Confusions">'
        f'<table class="ir-confusion{many}"><thead><tr><td class="ir-quiet">true ↓ taken for →</td>{head}'
        f'<th scope=col class=ir-total>all</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def wrong_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Test rows it was surest of and got wrong: the marked text, what it is, and what it was taken for."""
    if not rows:
        return '<p class="ir-quiet">None: every test row was right.</p>'
    items = "".join(
        f'<li>{marked(row["before"], row["after"])}<p class="ir-small-text"><strong>{text(row["label"])}</strong>'
        f'<span class="ir-quiet"> taken for </span><strong>{text(row["predicted"])}</strong>'
        f'<span class="ir-quiet"> with probability {score(row.get("probability"))}</span></p></li>'
        for row in rows
    )
    return f'<p class="ir-quiet ir-small-text">Those it was surest of.</p><ol class="ir-wrong">{items}</ol>'


def cost(metrics: Mapping[str, Any]) -> str:
    """Time, memory, steps and how much of the network trained."""
    facts = []
    if metrics.get("seconds"):
        facts.append(("Time, from loading the model on", took(metrics["seconds"])))
    if metrics.get("peak_memory_mib"):
        facts.append(("Memory at its peak", gigabytes(metrics["peak_memory_mib"] / 1024)))
    if metrics.get("steps"):
        facts.append(("Steps", f"{metrics['steps']}, the best one {metrics.get('best_step', metrics['steps'])}"))
    if metrics.get("selected_fraction") is not None:
        facts.append(("Layers trained in a step, on average", f"{metrics['selected_fraction']:.0%}"))
    return _facts(facts)


def settings(config: Mapping[str, Any]) -> str:
    """Every setting that has a value; those somebody chose stand out."""
    chosen = _chosen(config)
    facts = []
    for name in RunConfig.model_fields:
        value = config.get(name)
        if value is None or value == "":
            continue
        shown = ("yes" if value else "no") if isinstance(value, bool) else number(value) if isinstance(value, float) else value
        facts.append((form.label(name), f"{shown}{' *' if name in chosen else ''}"))
    if config.get("weights"):
        facts.append(("Weights from", config["weights"]))
    note = '<p class="ir-quiet ir-small-text">* chosen for this run; the others are the model\'s defaults.</p>' if chosen else ""
    return f"<details><summary>{plural(len(facts), 'setting')}</summary>{_facts(facts)}{note}</details>"


def _chosen(config: Mapping[str, Any]) -> set[str]:
    """What somebody set, and what a preset set otherwise than the model's defaults."""
    given = set(config.get("given") or ())
    try:
        values = parse_config(plain_config(config)).shortest().model_dump(exclude_none=True, exclude={"model_name", "dataset_name"})
    except StudioError:
        return given
    return given | set(values)


def _facts(facts: Sequence[tuple[str, Any]]) -> str:
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="ir-facts">{rows}</dl>'
