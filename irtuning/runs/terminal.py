"""A run on a terminal: a progress line now and then, the layers as a small text heatmap, a closing table.

Knows events alone; where the lines go is a stream it is given.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from irtuning.events import Evaluated, Failed, Finished, Notice, Phase, RunStarted, Step, Stopped

SHADES = " ░▒▓█"
COLUMNS = 60
PACE_STEPS = 20
"""Steps whose mean time foretells the rest."""


class Terminal:
    """Takes a run's events and prints what a person wants to see.

    Args:
        run: its id. every: steps between two progress lines. out: where lines go. err: where it goes why the run failed; the same
            by default.
    """

    def __init__(self, run: str, *, every: int, out: TextIO, err: TextIO | None = None) -> None:
        self._run, self._every, self._out, self._err = run, every, out, err
        self._units, self._unit, self._steps = 0, "layer", 0
        self._selected: list[list[int]] = []
        self._seconds: deque[float] = deque(maxlen=PACE_STEPS)
        self._phase = ""

    def recall(self, selected: Iterable[Sequence[int]]) -> None:
        """Takes what trained in the steps before a run went on, for the closing heatmap."""
        self._selected = [list(step) for step in selected]

    def waits(self, holder: str) -> None:
        """Says for which run this one waits."""
        self._say(f"waits: {holder or 'another run'} trains on this store now")

    def take(self, event: Any) -> None:
        """One event."""
        match event:
            case Phase(name=name) if name != self._phase:
                self._phase = name
                self._say(f"{name} …")
            case RunStarted():
                self._units, self._unit = len(event.unit_names) or event.layers, event.unit
                self._steps = event.steps
                self._say(
                    f"{event.layers} layers, {event.parameters_trainable / 1e6:.2f}M of {event.parameters_total / 1e6:.1f}M "
                    f"parameters train, {event.steps} steps, {event.device}, {event.dtype}, weights: {event.weights}"
                )
            case Step():
                self._step(event)
            case Evaluated(of="network"):
                self._say(f"step {event.step}: macro-F1 {event.metrics['macro_f1']:.3f} on {event.subset}")
            case Notice():
                self._say(event.text)
            case Failed():
                self._say(f"{event.what} {event.advice}".strip(), self._err)
            case Stopped() | Finished():
                self._say(f"{event.what} {event.advice}".strip())

    def close(self, run_dir: Path) -> dict[str, Any]:
        """Prints the heatmap and the closing table; the figures of metrics.json, empty where the run did not get so far."""
        if self._selected:
            self._say(f"{self._unit}s trained, input at the bottom, steps from left to right:")
            for line in text_heatmap(self._selected, self._units, COLUMNS):
                self._say("  " + line)
        try:
            closing = json.loads((run_dir / "metrics.json").read_bytes())
        except (OSError, ValueError):
            return {}
        self._table(closing)
        return {
            "metrics": {**closing["network"]},
            "floor": closing["floor"],
            "seconds": closing["seconds"],
            "peak_memory_mib": closing["peak_memory_mib"],
        }

    def _step(self, event: Step) -> None:
        self._selected.append(event.selected)
        self._seconds.append(event.seconds)
        if event.step % self._every and event.step not in (1, self._steps):
            return
        done = event.step / max(1, self._steps)
        # Of the last steps, as one alone may be a short batch.
        pace = sum(self._seconds) / len(self._seconds)
        left = (self._steps - event.step) * pace
        loss = "-" if event.loss is None else f"{event.loss:.3f}"
        self._say(
            f"step {event.step}/{self._steps} {done:4.0%}  loss {loss}  {len(event.selected)} of {self._units} {self._unit}s  "
            f"{pace:.2f} s a step  {left:.0f} s left  {_gigabytes(event.memory_mib):.1f} GB"
        )

    def _table(self, closing: dict[str, Any]) -> None:
        network, floor, gap = closing["network"], closing["floor"], closing["difference"]
        self._say(f"{'':14}{'network':>9}{'bag of edits':>14}")
        for key, title in (
            ("accuracy", "accuracy"),
            ("macro_f1", "macro-F1"),
            ("weighted_f1", "weighted F1"),
            ("au_prc", "AU-PRC"),
        ):
            self._say(f"{title:14}{network[key]:9.3f}{floor[key]:14.3f}")
        for label, row in network["per_class"].items():
            self._say(f"  {label[:32]:34}F1 {row['f1']:.3f}  of {row['support']}")
        clear = "" if gap["clear"] else "  no clear difference"
        self._say(
            f"macro-F1 difference {gap['macro_f1']:+.3f} (95 %: {gap['low']:+.3f} to {gap['high']:+.3f}, {gap['rows']} rows){clear}"
        )
        self._say(f"{closing['seconds']:.1f} s, peak memory {_gigabytes(closing['peak_memory_mib']):.2f} GB")

    def _say(self, text: str, out: TextIO | None = None) -> None:
        try:
            print(f"{self._run}  {text}", file=out or self._out, flush=True)
        except UnicodeEncodeError:
            self._say(text.encode("ascii", "replace").decode(), out)
        except (OSError, ValueError):
            # Whoever read is gone, as `| head` is, or its disk is full: the run goes on without a word.
            self._out = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def text_heatmap(selected: list[list[int]], layers: int, columns: int) -> list[str]:
    """Lines, the last layer first; each character shades how often a layer was trained in its share of the steps.

    Args:
        selected: layers trained in each step, from 0.
    """
    width = min(columns, len(selected))
    lines = []
    for layer in reversed(range(layers)):
        cells = []
        for column in range(width):
            part = selected[column * len(selected) // width : (column + 1) * len(selected) // width]
            share = sum(layer in step for step in part) / len(part)
            cells.append(SHADES[round(share * (len(SHADES) - 1))])
        lines.append(f"{layer:3} {''.join(cells)}")
    return lines


def _gigabytes(mib: float) -> float:
    """Decimal ones, as the pages have them."""
    return mib * 2**20 / 1e9
