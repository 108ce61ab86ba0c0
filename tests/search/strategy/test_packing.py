"""Which trials are trained together: of one size where that fills packs, of several where it makes fewer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.records import ended
from helpers.stub_study import write_study

from search import study
from search.planning.plan import plan
from search.strategy import packing
from search.strategy.study_search import StudySearch
from search.strategy.work import Work
from search.study import Study
from trainables.trial import Pack

STEP = 16 * 32  # tokens of a trial in one step


def make(folder: Path, size: int, method: str = "lora", name: str = "rank", **changes: Any) -> Study:
    """Four trials of each size, in packs of ``size``; LoRA may be padded by 23 ranks on MiniLM."""
    sizes = changes.pop("sizes", [8, 1, 4])
    wanted = {"methods": {method: {name: sizes}}, "resources": {"cpu": 1, "pack_tokens": STEP * size}}
    return study.load(write_study(folder, None, **wanted | changes))


def sizes(packs: tuple[Pack, ...], name: str = "rank") -> list[list[int]]:
    return [[trial.hyperparameters[name] for trial in pack.trials] for pack in packs]


def alone(packs: tuple[Pack, ...], monkeypatch: pytest.MonkeyPatch, of: Study) -> tuple[Pack, ...]:
    """The packs of the same study where nothing shares one; ``packs`` hold the same trials, each once."""
    monkeypatch.setattr(packing, "MOST_PADDING", -1.0)
    unshared = plan(of).packs
    counts = [Counter(trial.id for pack in some for trial in pack.trials) for some in (packs, unshared)]
    assert counts[0] == counts[1]
    assert set(counts[0].values()) == {1}
    return unshared


def test_what_would_not_fill_a_pack_shares_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = make(tmp_path, 6)
    packs = plan(of).packs
    assert sizes(packs) == [[1] * 4 + [4] * 2, [4] * 2 + [8] * 4], "of like ranks, and of as good as equal numbers"
    assert sizes(alone(packs, monkeypatch, of)) == [[8] * 4, [1] * 4, [4] * 4]


def test_what_is_left_beside_full_packs_shares_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = make(tmp_path, 3, seeds=[0, 1])
    packs = plan(of).packs
    assert sizes(packs) == [[8] * 3, [1] * 3, [4] * 3, [1, 4, 8]]
    unshared = alone(packs, monkeypatch, of)
    assert sizes(unshared) == [[8] * 2, [8] * 2, [1] * 2, [1] * 2, [4] * 2, [4] * 2]


@pytest.mark.parametrize(
    ("size", "method", "name", "values"),
    [
        (2, "lora", "rank", [8, 1, 4]),  # packs are full as they are
        (1, "lora", "rank", [8, 1, 4]),
        (5, "lora", "rank", [8, 1]),  # two packs either way
        (8, "lora", "rank", [1, 25, 50]),  # padding costs too much
        (8, "p_tuning_v1", "prompt_length", [4, 5]),  # not padded
        (8, "lora", "alpha", [1.0, 2.0]),  # no size
    ],
)
def test_where_it_does_not_pay_packs_are_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, method: str, name: str, values: list[float]
) -> None:
    of = make(tmp_path, size, method, name, sizes=values)
    packs = plan(of).packs
    assert all(len(set(own)) == 1 for own in sizes(packs, name))
    assert packs == alone(packs, monkeypatch, of)


def test_ranks_are_apart_where_padding_costs_much_and_together_where_it_does_not(tmp_path: Path) -> None:
    assert sizes(plan(make(tmp_path, 8, sizes=[64, 70, 1, 24])).packs) == [[1] * 4 + [24] * 4, [64] * 4 + [70] * 4]


@pytest.mark.parametrize(
    ("method", "name"),
    [("adapters", "rank"), ("aot_fc", "rank"), ("aot_kronecker", "rank"), ("p_tuning_v2", "prompt_length")],
)
def test_every_method_that_pads(tmp_path: Path, method: str, name: str) -> None:
    (pack,) = plan(make(tmp_path, 8, method, name, sizes=[2, 4])).packs
    assert sizes((pack,), name) == [[2] * 4 + [4] * 4]


def test_batches_of_several_sizes_never_share(tmp_path: Path) -> None:
    grid = {"learning_rate": [1e-3], "batch_size": [16, 8]}
    for pack in plan(make(tmp_path, 8, defaults=grid)).packs:
        assert len({trial.batch_size for trial in pack.trials}) == 1


def test_without_the_sizes_of_the_backbone_nothing_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = make(tmp_path, 6)
    monkeypatch.setattr(packing, "spec_if_known", lambda source: None)
    assert all(len(set(own)) == 1 for own in sizes(plan(of).packs))


def test_what_is_left_of_a_shared_pack_keeps_its_name(tmp_path: Path) -> None:
    of = make(tmp_path, 6)
    first, second = plan(of).packs
    rest, other = plan(of, ended((*first.trials[:4], second.trials[0]))).packs
    assert (rest.group, rest.trials) == (first.group, first.trials[4:])
    assert (other.group, other.trials) == (second.group, second.trials[1:])


def test_a_plan_counts_the_packs_that_are_handed_out(tmp_path: Path) -> None:
    """Those of an adaptive search as well, which asks for as many assignments as make a pack."""
    of = make(tmp_path, 6)
    search = StudySearch(of, {})
    handed_out = list(iter(search.next, None))
    planned = plan(of)
    assert planned.counts["packs"] == len(handed_out) == 2
    assert sorted(pack.group for pack in planned.packs) == sorted(pack.group for pack in handed_out)
    adaptive = StudySearch(make(tmp_path, 6, search={"strategy": "tpe", "n": 6}), {})
    assert [len(pack.trials) for pack in iter(adaptive.next, None)] == [6, 6]


def test_a_shared_pack_is_as_much_work_as_one_of_its_widest(tmp_path: Path) -> None:
    of = make(tmp_path, 6)
    first, _ = plan(of).packs
    widest = Pack(tuple(trial for trial in first.trials if trial == first.trials[-1]))
    assert Work(of)(first) == 6 * Work(of)(widest) > 6 * Work(of)(Pack(first.trials[:1]))
