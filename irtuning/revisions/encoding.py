"""(before, after) -> a model's input text: the one way in, for training and for classifying.

Knows no tokenizer: it is given a function that counts tokens. A pair too long for the model is cut around its change.
An encoding is plain data and is saved beside the adapter that was trained with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from irtuning.errors import AdapterError, ConfigError, RevisionError
from irtuning.revisions.diff import bare_words, split_words

Kind = Literal["pair", "marked", "text", "instruction"]
CountTokens = Callable[[str], int]
"""Tokens of a text, without the special ones a tokenizer puts around it."""

LONGEST_SIDE = 20_000
"""Characters of one text, at most."""
CUT = "…"
LEAST_TOKENS = 8
"""Tokens that each text must have room for."""
_CHUNK = 24
"""Characters at which a word without end is cut further."""

_QUESTION = "A writer revised a text. Decide the intention of the revision. Possible intentions: {labels}."
_TEMPLATES: dict[tuple[str, bool], str] = {
    # (kind, decoder): {pair} parts the two texts that a tokenizer joins by its own separator.
    ("pair", False): "{before}{pair}{after}",
    ("marked", False): "{marked}",
    ("text", False): "Before: {before} After: {after}",
    ("instruction", False): _QUESTION + " Revision: {marked}",
    ("pair", True): "{before}{pair}{after}",
    ("marked", True): "Revision: {marked}\nIntention:",
    ("text", True): "Before: {before}\nAfter: {after}\nIntention:",
    ("instruction", True): _QUESTION + "\nBefore: {before}\nAfter: {after}\nIntention:",
}
_FIELD = re.compile(r"\{(before|after|marked|labels)\}")


@dataclass(frozen=True)
class Rendered:
    """A model's input: one text, or two that the tokenizer joins; `cut` where the pair was too long."""

    text: str
    text_pair: str | None
    cut: bool


@dataclass(frozen=True)
class Encoding:
    """How a pair becomes a model's input.

    Attributes:
        kind: pair (the two texts), marked (the running text once, with its changes marked),
            text (both in one text), instruction (as text, with the question and the possible intentions).
        labels: the possible intentions, which an instruction names.
        max_length: longest input in tokens, special ones included.
        template: the input with its fields {before}, {after}, {marked}, {labels}, and {pair} between two texts.
    """

    kind: Kind
    labels: tuple[str, ...]
    max_length: int
    template: str

    @property
    def is_pair(self) -> bool:
        """Whether the input is two texts that the tokenizer joins."""
        return "{pair}" in self.template

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Encoding:
        """The encoding that `to_dict` wrote.

        Raises:
            AdapterError: it is not one.
        """
        try:
            found = cls(values["kind"], tuple(values["labels"]), int(values["max_length"]), values["template"])
            whole = (
                found.kind in get_args(Kind)
                and ("{after}" in found.template or "{marked}" in found.template)
                and all(isinstance(x, str) for x in found.labels)
            )
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise AdapterError("The adapter does not say how its input is made.", "Choose another adapter.")
        return found

    def render(self, before: str, after: str, count_tokens: CountTokens, pair_overhead: int) -> Rendered:
        """The input of one pair, cut around its change where it would be too long.

        Runs of white space become one space. Where a pair is cut, both sides keep the same words around the change, and
        where even the changed words are too many, their beginnings.

        Args:
            pair_overhead: special tokens that the tokenizer adds.

        Raises:
            ConfigError: `max_length` has no room for the template and 8 tokens of each text.
        """
        self._check_room(count_tokens, pair_overhead)
        before, after = " ".join(before.split()), " ".join(after.split())
        room = self.max_length - pair_overhead

        def fits(old: str, new: str) -> bool:
            texts = self._fill(old, new)
            # No tokenizer makes more tokens than bytes, but for one that marks a text's beginning.
            return sum(len(t.encode()) + 1 for t in texts) <= room or sum(map(count_tokens, texts)) <= room

        cut = not fits(before, after)
        if cut:
            before, after = _around_change(before, after, fits)
        text, *pair = self._fill(before, after)
        return Rendered(text, pair[0] if pair else None, cut)

    def _fill(self, before: str, after: str) -> list[str]:
        """The template's one or two texts with the fields filled in, each once: texts may hold braces themselves."""
        values = {"before": before, "after": after, "labels": ", ".join(self.labels)}
        if "{marked}" in self.template:
            values["marked"] = marked(before, after)
        return [_FIELD.sub(lambda m: values[m[1]], part) for part in self.template.split("{pair}")]

    def _check_room(self, count_tokens: CountTokens, pair_overhead: int) -> None:
        frame = self.template + ", ".join(self.labels) if "{labels}" in self.template else self.template
        if self.max_length >= pair_overhead + len(frame.encode()) + 64:
            return
        least = _least_length(self, count_tokens, pair_overhead)
        if self.max_length < least:
            raise ConfigError(
                f"A maximum length of {self.max_length} tokens is too short to hold a pair.",
                f"Set it to {least} or more.",
            )


def make_encoding(
    *,
    use_instruction: bool,
    is_decoder: bool,
    labels: Sequence[str],
    max_length: int,
    kind: Kind | None = None,
    instruction: str | None = None,
    separates: bool = True,
) -> Encoding:
    """The encoding that suits a model.

    Args:
        use_instruction: put the pair into an instruction that names the labels.
        is_decoder: the model reads left to right, so that the question comes last.
        kind: another kind than model and instruction suggest.
        instruction: one's own, with the fields {before} and {after} or {marked}, and {labels} if wanted.
        separates: the tokenizer puts a sign of its own between two texts; else a line break stands there.
    """
    if instruction:
        return Encoding("instruction", tuple(labels), max_length, instruction)
    chosen: Kind = kind or ("instruction" if use_instruction else "marked")
    template = _TEMPLATES[chosen, is_decoder]
    return Encoding(chosen, tuple(labels), max_length, template if separates else template.replace("{pair}", "\n{pair}"))


def check_pair(before: str, after: str) -> None:
    """Refuses a pair that is no revision.

    Raises:
        RevisionError: both texts are empty or the same up to white space, or one is longer than 20,000 characters or was not
            decoded whole.
    """
    for side, text in (("before", before), ("after", after)):
        if not isinstance(text, str):
            raise RevisionError(f"The text {side} is missing.", "Give two texts, '' for one that is not there.")
        if len(text) > LONGEST_SIDE:
            raise RevisionError(
                f"The text {side} has {len(text):,} characters, and {LONGEST_SIDE:,} are the most.",
                "Take the passage that changed.",
            )
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RevisionError(f"The text {side} is not UTF-8.", "Save it as UTF-8 and try again.")
    if not before.strip() and not after.strip():
        raise RevisionError("Nothing was revised: both texts are empty.", "Fill in one at least.")
    if before.split() == after.split():
        raise RevisionError("Nothing was revised: the two texts are the same.", "Change one of them.")


def marked(before: str, after: str) -> str:
    """The running text once: what went in square brackets, what came in braces."""
    signs = {"delete": "[{}]", "insert": "{{}}", "equal": "{}"}
    return " ".join(signs[op].replace("{}", text) for op, text in bare_words(before, after))


@lru_cache(maxsize=1)
def _least_length(encoding: Encoding, count_tokens: CountTokens, pair_overhead: int) -> int:
    """The shortest maximum length that holds the template and a few tokens of each text."""
    frame = sum(map(count_tokens, encoding._fill("", "")))
    if "{marked}" in encoding.template:
        frame += count_tokens("[] {}")
    return pair_overhead + frame + 2 * LEAST_TOKENS


def _around_change(before: str, after: str, fits: Callable[[str, str], bool]) -> tuple[str, str]:
    """The longest cut of both texts that fits: the change and words on either side of it, else its beginning."""
    old, new = _pieces(before), _pieces(after)
    shortest = min(len(old), len(new))
    start = 0
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1

    def with_context(count: int) -> tuple[str, str]:
        left = max(min(start, count // 2), count - end)
        right = min(end, count - left)
        return tuple(_window(side, start - left, len(side) - end + right) for side in (old, new))

    def beginnings(count: int) -> tuple[str, str]:
        return tuple(_window(side, start, min(start + count, len(side) - end)) for side in (old, new))

    def characters(count: int) -> tuple[str, str]:
        return tuple("".join(side[start : len(side) - end]).strip()[:count] for side in (old, new))

    if fits(*with_context(0)):
        return with_context(_most(start + end, lambda count: fits(*with_context(count))))
    changed = max(len(old), len(new)) - start - end
    if count := _most(changed, lambda count: fits(*beginnings(count))):
        return beginnings(count)
    return characters(_most(_CHUNK, lambda count: fits(*characters(count))))


def _pieces(text: str) -> list[str]:
    """Words with the white space before them; one without end in pieces."""
    return [word[i : i + _CHUNK] for word in split_words(text) for i in range(0, len(word), _CHUNK)]


def _window(pieces: list[str], start: int, end: int) -> str:
    """Pieces `start` to `end` as text, with a mark on each side where there were more."""
    inside = "".join(pieces[start:end]).strip()
    return " ".join(part for part in (CUT if start > 0 else "", inside, CUT if end < len(pieces) else "") if part)


def _most(highest: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `highest` that fits, where smaller ones do, too."""
    low, high = 0, highest
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
