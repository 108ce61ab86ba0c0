"""A generated benchmark for demonstrations and tests: three small tasks made by a seeded grammar, with no download.

Each is made so that its words alone do not give the answer: their order does (sentiment), or how two segments relate
(entailment, choice). About half of the words that matter in the dev split never occur in the train split: a pretrained
encoder knows them all the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from trainables.tasks._source import Generated, Split
from trainables.tasks._task import Task

#: Raise with every change of what is generated: it stands for the rows wherever they are not read.
VERSION = 1
ROWS: dict[Split, int] = {"train": 400, "dev": 200}

Row = dict[str, Any]
T = TypeVar("T")

TASKS = (
    Task(
        name="demo/sentiment",
        text=("{sentence}",),
        labels=("negative", "positive"),
        metric="accuracy",
        source=Generated("demo", "sentiment", VERSION),
        epochs=10,
        patience=5,
    ),
    Task(
        name="demo/entailment",
        text=("{premise}", "{hypothesis}"),
        labels=("entailment", "not_entailment"),
        metric="accuracy_macro_f1",
        source=Generated("demo", "entailment", VERSION),
        epochs=10,
        patience=5,
    ),
    Task(
        name="demo/choice",
        text=("{premise}", "{choice}"),
        options=("{choice1}", "{choice2}"),
        labels=("choice1", "choice2"),
        metric="accuracy",
        source=Generated("demo", "choice", VERSION),
        epochs=10,
        patience=5,
    ),
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The words at odd places of a list are kept out of the train split (see ``_Draw.visible``).
_PRAISE = _words(
    "wonderful superb delightful excellent lovely fantastic charming brilliant pleasant marvellous impressive "
    "outstanding enjoyable terrific splendid magnificent great perfect beautiful amazing"
)
_BLAME = _words(
    "awful terrible dreadful horrible boring disappointing miserable poor unpleasant pathetic annoying dull mediocre "
    "ugly tedious lousy bad disgusting weak appalling"
)
_SUBJECTS = _words("food service music room staff view garden story acting coffee breakfast terrace")
_ASIDES = (
    "we went there on a Tuesday",
    "my cousin had booked it for us",
    "it took us an hour to get there",
    "we stayed until late in the evening",
    "there were six of us that day",
    "we had walked past it many times",
)

# A kind, and things of that kind.
_KINDS = {
    "animal": _words("dog cat horse rabbit goat sheep"),
    "fruit": _words("apple pear banana cherry plum peach"),
    "vehicle": _words("car truck bus van tractor taxi"),
    "instrument": _words("guitar violin piano trumpet flute drum"),
    "tool": _words("hammer saw drill wrench screwdriver shovel"),
    "flower": _words("rose tulip daisy lily orchid sunflower"),
}
_PEOPLE = _words("teacher nurse baker farmer lawyer painter driver waiter doctor gardener pilot singer")
_VERBS = _words("bought sold found lost photographed described borrowed returned noticed wanted")
_PLACES = (
    "near the station",
    "behind the school",
    "at the market",
    "in the village",
    "by the river",
    "on the square",
)

# What somebody wants to do, and what it takes.
_GOALS = (
    ("cut the bread", "knife"),
    ("open the locked door", "key"),
    ("stay dry in the rain", "umbrella"),
    ("write a letter", "pen"),
    ("sweep the floor", "broom"),
    ("see in the dark cellar", "torch"),
    ("tell the time", "watch"),
    ("eat the soup", "spoon"),
    ("dig a hole in the garden", "shovel"),
    ("hang a picture on the wall", "hammer"),
    ("dry the wet dishes", "towel"),
    ("cross the lake", "boat"),
    ("take pictures of the wedding", "camera"),
    ("reach the high shelf", "ladder"),
    ("sew on a button", "needle"),
    ("light the candles", "match"),
    ("call her sister", "phone"),
    ("comb her hair", "comb"),
    ("find the way through the city", "map"),
    ("brush his teeth", "toothbrush"),
    ("look at the stars", "telescope"),
    ("catch a fish", "net"),
    ("keep warm in bed", "blanket"),
    ("boil water for tea", "kettle"),
    ("paint the fence", "brush"),
    ("measure the table", "ruler"),
    ("carry the groceries home", "bag"),
    ("iron the shirt", "iron"),
    ("listen to the news", "radio"),
    ("send an email", "laptop"),
    ("see small letters", "glasses"),
    ("water the plants", "watering can"),
    ("weigh the flour", "scale"),
    ("cut the paper", "scissors"),
    ("wake up early", "alarm clock"),
    ("bake a cake", "oven"),
    ("stop the bleeding", "bandage"),
    ("pay for the tickets", "wallet"),
    ("sleep in the forest", "tent"),
    ("mow the grass", "lawn mower"),
)
_NAMES = _words("Maria Peter Anna Thomas Julia Martin Clara Simon Helen Paul")
_WANTS = ("wanted to", "had to", "was asked to", "was about to", "tried to", "hoped to")


def rows(name: str, split: Split) -> list[Row]:
    """The rows of one split of ``demo/<name>``: all different, as many of each label, none of dev in train.

    Only ``random.random`` draws: its sequence is the same in every version of Python.
    """
    make = {"sentiment": _sentiment, "entailment": _entailment, "choice": _choice}[name]
    train = _distinct(make, name, "train", set())
    return train if split == "train" else _distinct(make, name, "dev", {_key(r) for r in train})


def _distinct(make: Callable[[_Draw, int], Row], name: str, split: Split, seen: set[tuple[Any, ...]]) -> list[Row]:
    draw = _Draw(f"{name}/{split}/{VERSION}", split)

    def fresh() -> Iterator[Row]:
        for number in range(ROWS[split]):
            while _key(row := make(draw, number % 2)) in seen:
                pass
            seen.add(_key(row))
            yield row

    return draw.shuffled(list(fresh()))


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(v for k, v in row.items() if k != "label")


class _Draw:
    """Draws words. Of a list only every second one is visible in the train split."""

    def __init__(self, seed: str, split: Split) -> None:
        self._random = random.Random(seed)
        self._step = 2 if split == "train" else 1

    def visible(self, items: Sequence[T]) -> Sequence[T]:
        """The items that the split may show."""
        return items[:: self._step]

    def pick(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        return items[int(self._random.random() * len(items))]

    def two(self, items: Sequence[T]) -> tuple[T, T]:
        """Two different ``items``."""
        first, second = self.pick(items), self.pick(items)
        while second == first:
            second = self.pick(items)
        return first, second

    def shuffled(self, items: list[T]) -> list[T]:
        return sorted(items, key=lambda _: self._random.random())


def _sentiment(draw: _Draw, label: int) -> Row:
    """The last opinion counts, and ``not`` turns it around."""
    praise, blame = (draw.pick(draw.visible(w)) for w in (_PRAISE, _BLAME))
    word, other = (praise, blame) if label else (blame, praise)
    first, second = draw.two(_SUBJECTS)
    aside = draw.pick(_ASIDES)
    forms = (
        f"{aside} and the {first} was {word}",
        f"the {first} was {word} , {aside}",
        f"{aside} and the {first} was not {other} at all",
        f"the {first} was {other} , but the {second} was {word}",
        f"the {first} was {other} at first , but later the {second} was {word}",
        f"although the {first} was {other} , the {second} was really {word}",
    )
    return {"sentence": draw.pick(forms), "label": label}


def _entailment(draw: _Draw, label: int) -> Row:
    """A thing is of its kind, but not of another, nor another thing of its kind; and its kind may be another thing."""
    kind, other = draw.two(list(_KINDS))
    thing, sibling = draw.two(draw.visible(_KINDS[kind]))
    said, asked = draw.pick(
        ((thing, other), (thing, sibling), (kind, thing)) if label else ((thing, kind), (thing, thing), (kind, kind))
    )
    person, verb, place = draw.pick(_PEOPLE), draw.pick(_VERBS), draw.pick(_PLACES)
    return {
        "premise": f"the {person} {verb} the {said} {place}",
        "hypothesis": f"somebody {verb} this {asked}",
        "label": label,
    }


def _choice(draw: _Draw, label: int) -> Row:
    """The thing that serves the purpose, against one that serves another."""
    (goal, right), (_, wrong) = draw.two(draw.visible(_GOALS))
    choices = [f"so the {thing} was needed" for thing in (right, wrong)]
    return {
        "premise": f"{draw.pick(_NAMES)} {draw.pick(_WANTS)} {goal} {draw.pick(_PLACES)}",
        "choice1": choices[label],
        "choice2": choices[1 - label],
        "label": label,
    }
