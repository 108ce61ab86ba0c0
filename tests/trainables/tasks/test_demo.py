"""The generated benchmark: balanced, fixed, without leaks, and not solved by a bag of words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from trainables.tasks import get, names, resolve
from trainables.tasks._text import Texts, render
from trainables.tasks.demo import ROWS, rows

#: The first train row of each task.
PINNED = {
    "sentiment": {"sentence": "we went there on a Tuesday and the breakfast was delightful", "label": 1},
    "entailment": {
        "premise": "the driver sold the dog at the market",
        "hypothesis": "somebody sold this dog",
        "label": 0,
    },
    "choice": {
        "premise": "Julia hoped to stay dry in the rain on the square",
        "choice1": "so the umbrella was needed",
        "choice2": "so the bandage was needed",
        "label": 0,
    },
}

DEMO = [n for n in names() if n.startswith("demo/")]


@pytest.mark.parametrize("name", DEMO)
def test_splits_are_balanced_and_apart(name: str) -> None:
    task = name.split("/")[1]
    train, dev = rows(task, "train"), rows(task, "dev")
    for made, split in ((train, "train"), (dev, "dev")):
        assert len(made) == ROWS[split]
        assert set(Counter(r["label"] for r in made).values()) == {ROWS[split] // 2}
    keys = [tuple(v for k, v in r.items() if k != "label") for r in (*train, *dev)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", DEMO)
def test_sentences_are_short_and_the_same_every_time(name: str) -> None:
    task = resolve(get(name))
    for split in ("train", "dev"):
        texts, again = render(task, split), render(task, split)
        assert texts.first == again.first
        assert texts.second == again.second
        assert all(4 <= len(t.split()) <= 20 for t in texts.first)


def test_the_first_rows_are_pinned() -> None:
    """What is generated stands in the identity of trials as a version: a change of one needs the other."""
    first = {name: rows(name, "train")[0] for name in ("sentiment", "entailment", "choice")}
    assert first == PINNED


def together(texts: Texts) -> list[str]:
    return [f"{a} {b}" for a, b in zip(texts.first, texts.second or texts.first, strict=True)]


@pytest.mark.parametrize("name", DEMO)
def test_a_bag_of_words_does_not_solve_it(name: str) -> None:
    task = get(name)
    train, dev = render(task, "train"), render(task, "dev")
    model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=2000, C=10))
    if task.choices == 1:
        predicted = model.fit(together(train), train.labels).predict(together(dev))
    else:
        right = (np.arange(task.choices) == train.labels[:, None]).ravel()
        chances = model.fit(together(train), right).predict_proba(together(dev))[:, 1]
        predicted = chances.reshape(-1, task.choices).argmax(axis=1)
    assert (predicted == dev.labels).mean() < 0.8
