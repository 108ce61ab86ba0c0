"""The standard error of a score over dev examples: of any metric, against brute force, with the answers at hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.devsets import devsets, resampled_error, standard_error
from analysis.predictions import Predictions
from analysis.reports import Options, results
from analysis.selection import assignments
from analysis.tables import Table
from common.metrics import METRICS, score
from tests.analysis.test_estimates import study


def answers(metric: str, n: int = 120, seed: int = 0) -> Predictions:
    """Answers of which some three quarters are right, or values with a correlation of about 0.8."""
    draw = np.random.default_rng(seed)
    if METRICS[metric].on == "values":
        gold = draw.normal(size=n).round(1)
        return Predictions(metric, gold + 0.75 * draw.normal(size=n), gold)
    gold = draw.choice([0, 1, 2] if METRICS[metric].labels is None else [0, 1], size=n)
    return Predictions(metric, np.where(draw.random(n) < 0.75, gold, draw.permutation(gold)), gold)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_it_is_the_deviation_over_drawn_examples(metric: str) -> None:
    """By brute force: the metric itself, of examples drawn one by one."""
    own = answers(metric)
    draw, n = np.random.default_rng(1), len(own.gold)
    drawn = [score(metric, own.predicted[i], own.gold[i])["score"] for i in draw.integers(n, size=(1_500, n))]
    assert resampled_error(own) == pytest.approx(np.std(drawn), rel=0.08)


@pytest.mark.parametrize("metric", ["f1", "matthews", "accuracy_f1", "pearson_spearman"])
def test_it_is_the_deviation_over_other_dev_sets(metric: str) -> None:
    """Known truth: dev sets drawn anew from the same source."""
    drawn = [answers(metric, 400, seed) for seed in range(600)]
    truth = np.std([score(metric, own.predicted, own.gold)["score"] for own in drawn])
    assert np.mean([resampled_error(own) for own in drawn[:20]]) == pytest.approx(truth, rel=0.12)


def test_of_an_accuracy_both_ways_agree() -> None:
    own = answers("accuracy", 277)
    value = score("accuracy", own.predicted, own.gold)["score"]
    assert resampled_error(own) == pytest.approx(standard_error(value, 277, "accuracy"), rel=0.08)
    assert np.isnan(resampled_error(Predictions("f1", np.array([np.nan, 1.0]), np.array([0, 1]))))


def test_the_answers_are_those_of_the_seed_next_to_the_best_median() -> None:
    frame = study({"lora": (3, 3.0), "bitfit": (3, 0.0)}, tasks=1).assign(metric="matthews")
    table = assignments(frame)
    (best,) = table[table["selected"] & (table["method"] == "lora")].to_dict("records")
    trials = frame[(frame["method"] == "lora") & (frame["assignment_id"] == best["assignment_id"])]
    middle = trials.loc[trials["score"] == best["median"], "trial_id"].item()
    kept = {trial: answers("matthews", 300, i) for i, trial in enumerate(sorted(frame["trial_id"]))}
    (row,) = devsets(frame, table, kept.get).to_dict("records")
    assert (row["best"], row["n_dev"]) == (best["median"], 300)
    assert row["standard_error"] == resampled_error(kept[middle])
    others = {trial: kept[trial] for trial in frame.loc[frame["method"] == "bitfit", "trial_id"]}
    (row,) = devsets(frame, table, others.get).to_dict("records")
    assert row["n_dev"] == 300
    assert np.isnan(row["standard_error"]), "another model's error is not the best one's"


def test_where_no_answers_were_kept_a_dash_has_its_reason() -> None:
    frame = pd.concat([study({"lora": (2, 0.0)}, tasks=1).assign(task=task) for task in ("glue/rte", "glue/mrpc")])
    frame = frame.reset_index(drop=True).assign(trial_id=[f"t{i}" for i in range(len(frame))])
    kept = answers("accuracy_f1", 408)

    def shown(options: Options) -> tuple[dict[str, str], Table]:
        (table,) = results.render(results.compute(frame, options)).blocks
        assert isinstance(table, Table)
        (row,) = [cells for cells in table.rows if cells[0].text == "Standard error"]
        return dict(zip(table.columns, (cell.text for cell in row), strict=True)), table

    texts, table = shown(Options())
    assert (texts["RTE"][:1], texts["MRPC"]) == ("±", "—")
    assert any(note.startswith("No standard error of MRPC: ") for note in table.notes)
    texts, table = shown(Options(predictions=lambda trial: None if trial in set(frame["trial_id"][:10]) else kept))
    assert texts["MRPC"] == f"± {resampled_error(kept):.1f}"
    assert not any(note.startswith("No standard error") for note in table.notes)
