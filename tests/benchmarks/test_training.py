"""The benchmark of training: that both sides train the same trials, and that it says what it measured.

No number that it measures is a test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from helpers.families import save_tiny

from benchmarks import _training_data, _training_grid, _training_plain, _training_rounds, _training_timers
from benchmarks._training_grid import PEER_METHODS, Cell, Grid, Outcome, Way
from benchmarks._training_sizes import SIZES, TINY
from trainables import backbones, head, methods, tasks

ROOT = Path(__file__).parents[2]
OURS, PEER = Way("ours"), Way("peer")
KEYS = (
    *("ours_trials_per_hour", "peer_trials_per_hour", "ratio", "ratio_low", "ratio_high", "ours_scores"),
    *("peer_scores", "padding_share", "device", "versions"),
)


def prepared(folder: Path, method: str, family: str = "bert") -> Cell:
    """A tiny cell of a method on a random backbone of a family."""
    source = save_tiny(family, folder / family, width=32)
    return _training_grid.prepare("cell", replace(TINY, backbone=str(source), method=method), folder, None)


@pytest.mark.parametrize("method", PEER_METHODS)
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_peer_trains_as_many_parameters_as_we_do(tmp_path: Path, family: str, method: str) -> None:
    from benchmarks import _training_peer as peer

    cell = prepared(tmp_path, method, family)
    trial = cell.trials("peer")[0]
    kind = methods.get(method)
    spec = backbones.spec(trial.backbone)
    model = peer.model_of(trial, PEER, "cpu")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == kind(kind.Config(**trial.method_config), spec).count() + head.count(2, spec.width)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_peers_head_is_one_linear_layer_on_the_first_token(tmp_path: Path, family: str) -> None:
    from benchmarks import _training_peer as peer

    trial = prepared(tmp_path, "fine_tuning", family).trials("peer")[0]
    model = peer.model_of(trial, PEER, "cpu").eval()
    linear = model.classifier if family == "bert" else model.classifier.out_proj
    ids = torch.randint(5, 60, (3, 7))
    library = transformers.AutoModel.from_pretrained(trial.backbone.source, add_pooling_layer=False).eval()
    with torch.no_grad():
        first = library(input_ids=ids).last_hidden_state[:, 0]
        torch.testing.assert_close(model(input_ids=ids).logits, first @ linear.weight.T + linear.bias)
    assert 0.01 < float(linear.weight.detach().std()) < 0.03
    assert not linear.bias.any()


@pytest.mark.parametrize("method", ["lora", "p_tuning_v1", "p_tuning_v2"])
def test_both_sides_train_a_cell(tmp_path: Path, method: str) -> None:
    from benchmarks import _training_ours as ours
    from benchmarks import _training_peer as peer

    cell = prepared(tmp_path, method, "roberta")
    timers = _training_timers.Timers()
    own = ours.train(cell, OURS, [[0, 1]], "cpu", tmp_path / "study", timers)
    told: list[float] = []
    best = peer.train(cell, PEER, 1, "cpu", timers, told.append)
    keys = [(trial.learning_rate, trial.seed) for trial in cell.trials("ours")]
    assert list(own) == keys
    assert keys == [(trial.learning_rate, trial.seed) for trial in cell.trials("peer")]
    assert len(told) == cell.grid.epochs
    assert best == max(told)
    assert all(0 <= score <= 100 for score in (*own.values(), best))


def test_a_method_that_peft_has_not_is_compared_with_lora() -> None:
    grid = Grid(method="aot_fc", config={"rank": 64})
    assert (grid.peers.method, grid.peers.config) == ("lora", {})
    assert replace(grid, method="p_tuning_v2").peers.method == "p_tuning_v2"


def test_the_same_rows_without_the_datasets_library(tmp_path: Path, real_data: str) -> None:
    task = tasks.get("superglue/cb")
    lines = replace(task, source=_training_data._as_lines(task, real_data, tmp_path))
    assert tasks.resolve(lines).source.digest == tasks.resolve(task, real_data).source.digest


def test_drawn_texts_have_the_lengths_that_are_stated(tmp_path: Path) -> None:
    grid = replace(TINY, task="glue/rte", max_length=160, rows=None)
    trial = _training_grid.prepare("cell", grid, tmp_path, None).trials("ours")[0]
    from trainables import data

    train = data.load(trial.task, trial.backbone, trial.protocol, tmp_path / "cache").train
    mean, std = _training_data.LENGTHS["glue/rte"]
    assert np.log(train.lengths).mean() == pytest.approx(mean, abs=0.1)
    assert np.log(train.lengths).std() == pytest.approx(std, abs=0.1)


def test_a_second_counts_once_for_the_innermost_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(_training_timers.time, "perf_counter", lambda: now[0])
    timers = _training_timers.Timers()

    def passes(seconds: float) -> None:
        now[0] += seconds

    with timers.of("optimiser"):
        passes(1)
        with timers.of("backward"):
            passes(2)
        passes(4)
    with timers.of("evaluation", whole=True):
        passes(8)
        with timers.of("data"):
            passes(16)
    passes(32)
    found = {place: seconds for place, seconds in timers.read().items() if seconds}
    assert found == {"optimiser": 5, "backward": 2, "evaluation": 24, "other": 32}


class Scripted:
    """An engine that gives trials per hour from a list, and notes the order in which it was asked."""

    def __init__(self, per_hour: dict[Way, list[float]]) -> None:
        self.per_hour, self.asked = per_hour, []

    def run(self, cell: Cell, way: Way) -> Outcome:
        self.asked.append(way)
        rate = self.per_hour[way].pop(0)
        if not rate:
            return Outcome(way, 0, 0.0, 0.0, {}, error="out of memory")
        return Outcome(way, 2, 2 * 3_600 / rate, 1.0, {(1e-3, 0): 50.0, (1e-3, 1): rate})


def test_rounds_turn_round_and_give_the_best_way_of_each_side() -> None:
    half, broken = replace(PEER, precision="bfloat16"), replace(PEER, workers=2)
    engine = Scripted({OURS: [30, 40, 60], PEER: [10, 10, 10], half: [20, 20, 15], broken: [0]})
    cells = dict.fromkeys(("float32", "bfloat16"))
    ways = (OURS, PEER, half, broken)
    found = _training_rounds.interleaved(engine, cells, ways, 3, float("inf"), lambda words: None)  # type: ignore[arg-type]
    assert engine.asked == [*ways, half, PEER, OURS, OURS, PEER, half]
    summary = _training_rounds.summary(
        found, _training_rounds.best(found, "ours"), _training_rounds.best(found, "peer")
    )
    assert summary["peer_way"] == str(half)
    ratios = [summary[name] for name in ("ratio", "ratio_low", "ratio_high")]
    assert ratios == pytest.approx([2.0, 1.5, 4.0])
    assert summary["by_precision"]["float32"]["median"] == pytest.approx(4)
    assert summary["ours_scores"] == [50, 30]
    assert {row["way"]: row["error"] for row in summary["ways"]}[str(broken)] == "out of memory"


def test_no_round_begins_that_does_not_fit() -> None:
    engine = Scripted({OURS: [30, 30]})
    cells = {"float32": None}
    found = _training_rounds.interleaved(engine, cells, (OURS,), 5, 0.0, lambda words: None)  # type: ignore[arg-type]
    assert len(found) == 1


def test_the_interval_of_a_difference_is_welchs() -> None:
    ours, peer = [80.0, 82.0, 84.0, 86.0], [79.0, 80.0, 81.0, float("nan")]
    found = _training_rounds.difference(ours, peer)
    assert found is not None
    assert found.mean == pytest.approx(3)
    error, freedom = np.sqrt(20 / 3 / 4 + 1 / 3), 4.03  # Welch and Satterthwaite by hand
    from scipy import stats

    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, freedom) * error, rel=0.01)
    assert _training_rounds.difference([50.0], peer) is None


def test_trials_are_dealt_to_workers() -> None:
    packs = [[0, 1], [2, 3], [4]]
    assert _training_plain.shared(packs, replace(OURS, workers=2)) == [[[0, 1], [4]], [[2, 3]]]
    assert _training_plain.shared(packs, replace(PEER, workers=2)) == [[[0], [2], [4]], [[1], [3]]]


def test_every_size_names_methods_tasks_and_backbones_that_there_are() -> None:
    for size in SIZES.values():
        for section in size.sections:
            assert section.grid.method in methods.names()
            assert section.grid.task in tasks.names()
            methods.get(section.grid.method).Config(**section.grid.config)
            assert {way.who for way in section.ways} == {"ours", "peer"}
            known = (*_training_data.ARCHITECTURES, _training_grid.MINILM)
            assert section.grid.backbone in known


def test_options_change_what_a_size_stands_for(tmp_path: Path, real_data: str) -> None:
    from benchmarks import training

    asked = ["--size", "cpu", "--engine", "plain", "--method", "bitfit", "--precision", "bfloat16", "--workers", "1"]
    bench, (section,) = training.settings(training.parsed([*asked, "--seeds", "3", "--data", real_data]), tmp_path)
    assert (bench.engine, bench.device, bench.data_dir) == ("plain", "cpu", real_data)
    assert (section.grid.method, section.grid.config, section.grid.trials) == ("bitfit", {}, 6)
    assert section.ways == (Way("ours", "bfloat16", pack=1), Way("peer", "bfloat16"), Way("ours", "bfloat16", pack=2))
    _, (scores,) = training.settings(training.parsed(["--size", "cpu", "--scores"]), tmp_path)
    assert (scores.grid.task, scores.grid.trials) == ("glue/sst-2", 8)


def measured(tmp_path: Path, *arguments: str) -> tuple[dict, str]:
    """The JSON of one tiny run, and what it printed."""
    out = tmp_path / "training.json"
    command = [sys.executable, "benchmarks/training.py", "--size", "tiny", "--workers", "1", "--json", str(out)]
    asked = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    return json.loads(out.read_text()), asked.stdout


@pytest.mark.cluster  # processes that train, though none of Ray
@pytest.mark.timeout(600)
def test_the_plain_engine_measures_both_sides(tmp_path: Path) -> None:
    found, printed = measured(tmp_path)
    assert all(found[key] is not None for key in KEYS)
    assert len(found["ours_scores"]) == len(found["peer_scores"]) == 2
    for side in ("ours", "peer"):
        where = found["where"][side]
        assert list(where) == list(_training_timers.PLACES)
        assert all(where[place] > 0 for place in ("start-up", "data", "forward", "backward", "optimiser", "evaluation"))
        assert where["checkpoint"] > 0
    assert found["ours_way"] in printed


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_curves(tmp_path: Path) -> None:
    found, printed = measured(tmp_path, "--curve", "pack", "tokens", "devices", "--plot", str(tmp_path / "curves.png"))
    assert [row["pack"] for row in found["curves"]["pack"]] == [1, 2, 4, 8]
    tokens = [row["tokens_per_step"] for row in found["curves"]["tokens"]]
    assert tokens == sorted(tokens)
    assert [row["workers"] for row in found["curves"]["devices"]] == [1]
    assert "curve of tokens" in printed
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_the_engine_with_ray_trains_the_same_trials(tmp_path: Path) -> None:
    found, _ = measured(tmp_path, "--engine", "ray")
    assert all(found[key] is not None for key in KEYS)
    assert len(found["ours_scores"]) == len(found["peer_scores"]) == 2
    assert found["ratio_with_start_up"] > 0
