"""Rows -> parts, by hashes alone: the same rows always fall the same way, whatever the order, the machine or the seed.

Knows rows by two strings each (a key of what must stay together, a label) and returns their positions.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

FILE_SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}
"""Shares of one file that holds everything."""
TRAINING_SHARES = {"train": 0.85, "validation": 0.15}
"""Shares of a training file that comes without a validation file."""

Parts = dict[str, list[int]]
"""Part -> positions of its rows, ascending."""


def by_groups(groups: Sequence[str], shares: Mapping[str, float]) -> Parts:
    """Whole groups (documents, writers) put into parts: ordered by their hash, cut where the shares are reached.

    Args:
        groups: the group of each row.
        shares: part -> share of the rows, adding up to 1.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(i)
    parts: Parts = {name: [] for name in shares}
    names, edges = list(shares), _edges(shares)
    done = 0
    for group in sorted(members, key=_hash):
        # A group goes where its middle row would fall, so that a large one at an edge errs to neither side.
        middle = (done + len(members[group]) / 2) / len(groups)
        parts[names[sum(middle >= edge for edge in edges[:-1])]] += members[group]
        done += len(members[group])
    return {name: sorted(rows) for name, rows in parts.items()}


def by_rows(texts: Sequence[str], labels: Sequence[str], shares: Mapping[str, float]) -> Parts:
    """Single rows put into parts, each label by itself, so that a label of four rows or more is in every part.

    Rows with the same texts stay together, whatever their labels.

    Args:
        texts: what makes a row the same as another, one a row.
        labels: the label of each row.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        members[text].append(i)
    by_label: dict[str, list[str]] = defaultdict(list)
    for text in sorted(members, key=_hash):
        by_label[labels[members[text][0]]].append(text)
    parts: Parts = {name: [] for name in shares}
    for group in by_label.values():
        start = len(group)
        # From the last part to the first: what is left over trains.
        for name in list(shares)[:0:-1]:
            least = 1 if start >= 3 else 0
            take = max(least, round(shares[name] * len(group)))
            parts[name] += [i for text in group[start - take : start] for i in members[text]]
            start -= take
        parts[next(iter(shares))] += [i for text in group[:start] for i in members[text]]
    return {name: sorted(rows) for name, rows in parts.items()}


def faults(parts: Parts, labels: Sequence[str]) -> list[str]:
    """What speaks against a split, as phrases: training (the first part) too poor in labels, a part without rows or label.

    Training needs two labels of two rows. Every part needs each label that is not rare: rare are labels with fewer than 4
    rows, or with fewer than 10 that are less than a tenth of all.
    """
    counts = Counter(labels)
    common = [label for label, n in counts.items() if n >= 4 and (n >= 10 or n >= len(labels) / 10)]
    found = [f"no rows for {name}" for name, rows in parts.items() if not rows]
    trained = Counter(labels[i] for i in next(iter(parts.values())))
    if sum(n >= 2 for n in trained.values()) < 2:
        found.append("fewer than two labels to train on")
    for name, rows in parts.items():
        there = {labels[i] for i in rows}
        found += [f"no {label!r} in {name}" for label in common if rows and label not in there]
    return found


def _edges(shares: Mapping[str, float]) -> list[float]:
    edges, total = [], 0.0
    for share in shares.values():
        total += share
        edges.append(total)
    return edges


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
