"""What changed between two texts: the words that went and came, and numbers that describe the edit.

Pure functions of two strings; knows no corpus and no model. A word is a run of letters and digits (a CJK character by
itself), with the accents and vowel signs that stand on them; a mark of punctuation is a word of its own, and so is an emoji,
however many characters it is made of. White space belongs to the word that follows it.
"""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from math import log1p
from typing import Literal

import regex

Op = Literal["equal", "delete", "insert"]

_WORD = regex.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]\p{M}*|[\w\p{N}]+(?:['’\-][\w\p{N}]+)*"
    # What joins itself to whatever comes next would swallow white space.
    r"|\p{RI}{1,2}|\p{GCB=Prepend}|(?!\s)\X"
)
_FUNCTION_WORDS = """
a an the this that these those it its he she they we you i him her them us me his their our your my of in on at
by for to from with as into over about than and or but so if nor yet is are was were be been being am do does
did have has had will would can could shall should may might must not no there here which who whom whose what
when where while because since although though however also then thus therefore very
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
_LONG = 400
"""Words from which difflib may pass over words that are everywhere: repetitive texts take it minutes otherwise."""


def split_words(text: str) -> list[str]:
    """The words of a text, each with the white space before it; what follows the last word is an item of its own."""
    found, end = [], 0
    for match in _WORD.finditer(text):
        found.append(text[end : match.end()])
        end = match.end()
    return [*found, text[end:]] if end < len(text) else found


def words(before: str, after: str) -> list[tuple[Op, str]]:
    """The running text as pieces that stayed, went or came.

    `equal` and `delete` joined are `before` to the character, `equal` and `insert` joined are `after`. Where something
    was replaced, what went stands before what came.
    """
    old, new = split_words(before), split_words(after)
    pieces: list[tuple[Op, str]] = []
    for same, a, b in _blocks([w.strip() for w in old], [w.strip() for w in new]):
        if not same:
            pieces += [("delete", "".join(old[a])), ("insert", "".join(new[b]))]
            continue
        for x, y in zip(old[a], new[b], strict=True):
            if x == y:
                pieces.append(("equal", x))
            else:  # the same word after other white space
                word = x.lstrip()
                pieces += [("delete", x[: len(x) - len(word)]), ("insert", y[: len(y) - len(word)]), ("equal", word)]
    return _joined(pieces)


def bare_words(before: str, after: str) -> list[tuple[Op, str]]:
    """As `words`, where runs of white space count as one space, and pieces come without the white space around them.

    A space that went or came with no changed word beside it is a piece of its own: nothing else would tell of it.
    """
    pieces = [(op, text.strip()) for op, text in words(" ".join(before.split()), " ".join(after.split()))]
    return [
        (op, text or " ")
        for i, (op, text) in enumerate(pieces)
        if text or all(near == "equal" for near, _ in pieces[i - 1 : i + 2 : 2])
    ]


def edit_numbers(before: str, after: str) -> dict[str, float]:
    """Numbers that describe an edit, all finite, under the same names for every pair; counts are damped (log)."""
    old, new = split_words(before), split_words(after)
    old_words, new_words = [w.strip() for w in old], [w.strip() for w in new]
    blocks = _blocks(old_words, new_words)
    edits = [(a, b) for same, a, b in blocks if not same]
    gone = [w for a, _ in edits for w in old_words[a]]
    come = [w for _, b in edits for w in new_words[b]]
    changed = gone + come
    low_gone, low_come = Counter(w.lower() for w in gone), Counter(w.lower() for w in come)
    kept = sum(a.stop - a.start for same, a, _ in blocks if same)
    total = len(old_words) + len(new_words)
    moved = sum((low_gone & low_come).values())
    marks = [w for w in changed if not any(c.isalnum() for c in w)]

    def share(count: int, of: int) -> float:
        return count / of if of else 0.0

    return {
        "words_before": log1p(len(old_words)),
        "words_after": log1p(len(new_words)),
        "words_gone": log1p(len(gone)),
        "words_come": log1p(len(come)),
        "characters_gone": log1p(sum(map(len, gone))),
        "characters_come": log1p(sum(map(len, come))),
        "longer_by": log1p(len(after)) - log1p(len(before)),
        "kept": share(2 * kept, total),
        "edits": log1p(len(edits)),
        "only_added": float(bool(old_words) and bool(come) and not gone),
        "only_removed": float(bool(new_words) and bool(gone) and not come),
        "whole_added": float(not old_words),
        "whole_removed": float(not new_words),
        "at_start": float(bool(edits) and edits[0][0].start == 0 and edits[0][1].start == 0),
        "at_end": float(
            bool(edits) and edits[-1][0].stop >= len(old_words) - 1 and edits[-1][1].stop >= len(new_words) - 1
        ),
        "moved": share(2 * moved, len(changed)),
        "only_marks": float(bool(changed) and len(marks) == len(changed)),
        "marks": share(len(marks), len(changed)),
        "only_case": float(bool(changed) and low_gone == low_come and gone != come),
        "digits_gone": float(sum(any(c.isdigit() for c in w) for w in gone) > 0),
        "digits_come": float(sum(any(c.isdigit() for c in w) for w in come) > 0),
    }


Block = tuple[bool, slice, slice]


def _blocks(old: list[str], new: list[str]) -> list[Block]:
    """Runs of the same words and of replaced ones, in order: (same, positions in old, positions in new)."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=max(len(middle_old), len(middle_new)) > _LONG)
    found: list[Block] = [(True, slice(0, start), slice(0, start))] if start else []
    for tag, a, b, c, d in matcher.get_opcodes():
        found.append((tag == "equal", slice(start + a, start + b), slice(start + c, start + d)))
    if end:
        found.append((True, slice(len(old) - end, len(old)), slice(len(new) - end, len(new))))
    return _readable(found, old)


def _readable(blocks: list[Block], old: list[str]) -> list[Block]:
    """A lone small word that happens to be the same between two larger replacements counts as replaced, too."""
    found: list[Block] = []
    for i, (same, a, b) in enumerate(blocks):
        size = (
            sum(s.stop - s.start for near in (blocks[i - 1], blocks[i + 1]) for s in near[1:])
            if 0 < i < len(blocks) - 1
            else 0
        )
        small = same and a.stop - a.start == 1 and (old[a.start].lower() in _FUNCTION or not old[a.start][:1].isalnum())
        changed = not same or (small and size >= 6)
        if changed and found and not found[-1][0]:
            _, x, y = found[-1]
            found[-1] = (False, slice(x.start, a.stop), slice(y.start, b.stop))
        else:
            found.append((not changed, a, b))
    return found


def _joined(pieces: list[tuple[Op, str]]) -> list[tuple[Op, str]]:
    """Neighbouring pieces of one kind put together, what went before what came, empty ones left out."""
    found: list[tuple[Op, str]] = []
    gone = come = ""
    for op, text in pieces:
        if op == "delete":
            gone += text
        elif op == "insert":
            come += text
        elif text:
            found += [(kind, held) for kind, held in (("delete", gone), ("insert", come)) if held]
            gone = come = ""
            if found and found[-1][0] == "equal":
                found[-1] = ("equal", found[-1][1] + text)
            else:
                found.append(("equal", text))
    return found + [(kind, held) for kind, held in (("delete", gone), ("insert", come)) if held]
