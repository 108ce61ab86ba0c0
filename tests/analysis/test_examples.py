"""Paired tests on examples from made answers of which the result is known."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import examples
from analysis.examples import Answers
from analysis.planned import planned
from analysis.predictions import Predictions
from analysis.reports import Options
from analysis.reports import examples as report
from analysis.reports._section import Section
from analysis.selection import assignments, best_assignments
from analysis.significance import IMPOSSIBLE, NOT_SHOWN, SHOWN
from common.metrics import score

Kept = dict[str, Predictions]


def study(
    kept: dict[tuple[str, str, int], tuple[str, np.ndarray, np.ndarray]], task: str = "glue/rte"
) -> tuple[pd.DataFrame, Kept]:
    """Runs, and answers by trial, from (method, assignment, seed): metric, predicted, gold."""
    rows, found = [], {}
    for (method, assignment, seed), (metric, predicted, gold) in kept.items():
        trial = f"{task}-{method}-{assignment}-{seed}"
        found[trial] = Predictions(metric, predicted, gold)
        rows.append({
            "study": "s", "benchmark": "glue", "backbone": "b", "task": task, "method": method, "seed": seed,
            "assignment_id": assignment, "trial_id": trial, "status": "finished", "trainable_parameters": 1,
            "seconds": 1.0, "score": score(metric, predicted, gold)["score"], "best_epoch": 1, "epochs": 1,
        })  # fmt: skip
    return pd.DataFrame(rows).astype({"trainable_parameters": "Int64"}), found


def right(pattern: str, gold: np.ndarray) -> np.ndarray:
    """Answers that are right where the pattern has a 1."""
    return np.where(np.array(list(pattern)) == "1", gold, 1 - gold)


def tables(frame: pd.DataFrame, kept: Kept, against: str) -> pd.DataFrame:
    found, _ = examples.answers(frame, best_assignments(assignments(frame)), kept.get)
    return examples.compared(found, {}, planned(against, frame["method"]))


def test_one_model_each_is_mcnemars_test() -> None:
    """Of 30 examples the one is right alone on 9, the other alone on 2."""
    gold = np.arange(30) % 2
    frame, kept = study({
        ("lora", "0", 0): ("accuracy", right("1" * 9 + "00" + "1" * 15 + "0" * 4, gold), gold),
        ("bitfit", "0", 0): ("accuracy", right("0" * 9 + "11" + "1" * 15 + "0" * 4, gold), gold),
    })  # fmt: skip
    (row,) = tables(frame, kept, "bitfit").to_dict("records")
    assert row["p"] == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert row["difference"] == pytest.approx(100 * 7 / 30)
    error = 100 * math.sqrt((11 / 30 - (7 / 30) ** 2) / 30)
    assert (row["lower"], row["upper"]) == pytest.approx((0, 100 * 14 / 30)), "holds zero, as p = 0.065 does not reject"
    assert row["detectable"] == pytest.approx((1.959964 + 0.841621) * error, 1e-4)
    assert (row["n_examples"], row["n_models"], row["outcome"]) == (30, 1, NOT_SHOWN)


def test_an_example_is_one_observation_however_many_seeds_answered_it() -> None:
    """Five copies of a model say no more than one; the test over all their answers would reject."""
    gold = np.zeros(40, dtype=int)
    a, b = right("1" * 10 + "0" * 4 + "1" * 26, gold), right("0" * 10 + "1" * 4 + "1" * 26, gold)
    many = {
        (m, "0", seed): ("accuracy", answers, gold) for m, answers in (("lora", a), ("bitfit", b)) for seed in range(5)
    }
    one = {key: value for key, value in many.items() if key[2] == 0}
    p = [tables(*study(cells), "bitfit")["p"].iloc[0] for cells in (many, one)]
    assert p[0] == pytest.approx(p[1])
    assert p[0] == pytest.approx(stats.binomtest(4, 14).pvalue)
    assert stats.binomtest(20, 70).pvalue < 0.001


def test_unequal_numbers_of_seeds() -> None:
    """Two models against three: shares of right models, by enumeration of all signs."""
    gold = np.zeros(6, dtype=int)
    left, other = ["110111", "101101"], ["010010", "000010", "110000"]
    cells = {("lora", "0", i): ("accuracy", right(x, gold), gold) for i, x in enumerate(left)}
    cells |= {("bitfit", "0", i): ("accuracy", right(x, gold), gold) for i, x in enumerate(other)}
    (row,) = tables(*study(cells), "bitfit").to_dict("records")
    gaps = [np.mean([int(x[i]) for x in left]) - np.mean([int(x[i]) for x in other]) for i in range(6)]
    signs = 1 - 2 * ((np.arange(64)[:, None] >> np.arange(6)) % 2)
    assert row["p"] == pytest.approx(np.mean(np.abs(signs @ gaps) >= abs(sum(gaps)) - 1e-9))
    assert row["difference"] == pytest.approx(100 * np.mean(gaps))


@pytest.mark.parametrize("metric", ["matthews", "accuracy_f1", "pearson_spearman"])
def test_other_metrics_find_what_is_there_and_no_more(metric: str) -> None:
    """Two models of one quality, and a third that is clearly worse; errors against resamples scored one by one."""
    draw = np.random.default_rng(1)
    n = 400
    if metric == "pearson_spearman":
        gold = draw.normal(size=n)
        answers = {
            "lora": gold + draw.normal(size=n),
            "aot_fc": gold + draw.normal(size=n),
            "bitfit": gold + 4 * draw.normal(size=n),
        }
    else:
        gold = draw.integers(0, 2, n)
        wrong = {"lora": 0.2, "aot_fc": 0.2, "bitfit": 0.4}
        answers = {name: np.where(draw.random(n) < share, 1 - gold, gold) for name, share in wrong.items()}
    frame, kept = study({(name, "0", 0): (metric, predicted, gold) for name, predicted in answers.items()})
    table = tables(frame, kept, "lora").set_index("method")
    assert table["outcome"].to_dict() == {"aot_fc": NOT_SHOWN, "bitfit": SHOWN}
    drawn = []
    for _ in range(400):
        chosen = draw.integers(n, size=n)
        drawn.append(
            score(metric, answers["bitfit"][chosen], gold[chosen])["score"]
            - score(metric, answers["lora"][chosen], gold[chosen])["score"]
        )
    row = table.loc["bitfit"]
    assert row["upper"] - row["lower"] == pytest.approx(np.quantile(drawn, 0.975) - np.quantile(drawn, 0.025), rel=0.2)
    assert row["difference"] == pytest.approx(kept_score(kept, "bitfit") - kept_score(kept, "lora"))
    assert row["p"] == pytest.approx(2 / 1001 if metric == "pearson_spearman" else 1 / 4000)


def kept_score(kept: Kept, method: str) -> float:
    p = kept[f"glue/rte-{method}-0-0"]
    return score(p.metric, p.predicted, p.gold)["score"]


def test_standard_errors_by_hand() -> None:
    gold = np.zeros(50, dtype=int)
    frame, kept = study({("lora", "0", 0): ("accuracy", right("1" * 40 + "0" * 10, gold), gold)})
    found, _ = examples.answers(frame, best_assignments(assignments(frame)), kept.get)
    (row,) = examples.standard_errors(found).to_dict("records")
    assert row["score"] == pytest.approx(80.0)
    assert row["standard_error"] == pytest.approx(100 * math.sqrt(0.8 * 0.2 / 50))
    assert (row["n_examples"], row["n_models"], row["metric"]) == (50, 1, "accuracy")


def test_five_examples_cannot_show_anything() -> None:
    gold = np.zeros(5, dtype=int)
    frame, kept = study(
        {
            ("lora", "0", 0): ("accuracy", right("11111", gold), gold),
            ("bitfit", "0", 0): ("accuracy", right("00000", gold), gold),
        }
    )
    (row,) = tables(frame, kept, "bitfit").to_dict("records")
    assert (row["outcome"], row["needed"], row["p"]) == (IMPOSSIBLE, 6, 2 / 32)


def test_models_on_other_examples_are_counted_and_left_out() -> None:
    gold = np.arange(20) % 2
    cells = {(m, "0", s): ("accuracy", gold, gold) for m in ("lora", "bitfit") for s in range(2)}
    cells["lora", "0", 2] = ("accuracy", gold[:10], gold[:10])
    frame, kept = study(cells)
    found, left_out = examples.answers(frame, best_assignments(assignments(frame)), kept.get)
    assert left_out == 1
    assert {cell[3]: len(answer.predicted) for cell, answer in found.items()} == {"lora": 2, "bitfit": 2}


def test_models_of_confirmation_seeds_come_first() -> None:
    gold = np.arange(20) % 2
    frame, kept = study({(m, "0", s): ("accuracy", gold, gold) for m in ("lora", "bitfit") for s in range(3)})
    fresh, more = study({("lora", "0", s): ("accuracy", 1 - gold, gold) for s in (100, 101)})
    found, _ = examples.answers(frame, best_assignments(assignments(frame)), (kept | more).get, fresh)
    assert {cell[3]: (len(a.predicted), a.score) for cell, a in found.items()} == {
        "lora": (2, 0.0),
        "bitfit": (3, 100.0),
    }
    found, _ = examples.answers(frame, best_assignments(assignments(frame)), kept.get, fresh)
    assert {cell[3]: len(a.predicted) for cell, a in found.items()} == {"lora": 3, "bitfit": 3}, "theirs were not kept"


def test_the_luck_of_a_choice_by_the_dev_examples() -> None:
    """40 assignments that are all right in 80 of 100 cases: the best on 200 examples seems better by the expected
    maximum of 40 normal deviates, 2.16 standard errors; where one is clearly the best, the choice flatters nothing."""
    draw = np.random.default_rng(3)
    gold = np.zeros(400, dtype=int)
    equal = {("lora", f"{i:02}", 0): ("accuracy", (draw.random(400) < 0.2).astype(int), gold) for i in range(40)}
    clear = {
        ("bitfit", str(i), 0): ("accuracy", (draw.random(400) < 0.1 + 0.6 * (i > 0)).astype(int), gold)
        for i in range(9)
    }
    frame, kept = study(equal | clear)
    table, passed = examples.optimism(frame, assignments(frame), kept.get)
    found = table.set_index("method")["optimism"]
    assert found["lora"] == pytest.approx(2.16 * 100 * math.sqrt(0.8 * 0.2 / 200), rel=0.3)
    assert abs(found["bitfit"]) < 0.5
    assert passed == 0
    del kept["glue/rte-lora-07-0"]
    assert set(examples.optimism(frame, assignments(frame), kept.get)[0]["method"]) == {"bitfit"}, "not all were kept"


def test_the_section(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "bitfit"), tasks=("rte", "cola"), seeds=2)
    nothing = report.compute(frame)
    assert report.render(nothing) is None
    assert report.exports(nothing) == {}
    assert report.render(report.compute(frame, Options(predictions={}.get))) is None
    draw = np.random.default_rng(0)
    gold = draw.integers(0, 2, 120)

    def read(trial: str) -> Predictions | None:
        own = np.random.default_rng(sum(map(ord, trial)))
        if "bitfit" in trial and "cola" in trial:
            return None
        return Predictions("accuracy", np.where(own.random(120) < 0.2, 1 - gold, gold), gold)

    data = report.compute(frame, Options(predictions=read, against="lora"))
    assert {stem: list(table) for stem, table in report.exports(data).items()} == {
        "examples": examples.COMPARED, "standard_errors": examples.ERRORS, "optimism": examples.OPTIMISM,
    }  # fmt: skip
    section = report.render(data)
    assert isinstance(section, Section)
    names = [block.name.split("_")[0] for block in section.blocks if not isinstance(block, str)]
    assert names == ["examples", "standard-errors", "optimism"]
    tests, errors, luck = (block for block in section.blocks if not isinstance(block, str))
    assert [row[0].text for row in tests.rows] == ["Fine-Tuning", "BitFit"]
    assert tests.rows[1][2].text == "—"
    assert tests.rows[0][1].signs == "‡"
    assert errors.columns == ("Method", "RTE (120)", "CoLA (120)")
    assert errors.folded
    assert [row[2].text for row in luck.rows] == ["2", "2", "1"]


@pytest.mark.parametrize("metric", ["matthews", "accuracy_f1", "accuracy_macro_f1"])
def test_the_exchange_of_answers_by_enumeration(metric: str) -> None:
    """Seven examples on which two methods, of two models and one, differ: all 128 ways scored one by one."""
    gold = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1])
    left = np.array([gold, gold])
    left[0, [0, 3]] ^= 1
    left[1, [3, 4]] ^= 1
    right = gold[None].copy()
    right[0, [1, 5, 6, 7]] ^= 1
    answers = {("lora", "0", seed): (metric, own, gold) for seed, own in enumerate(left)}
    frame, kept = study(answers | {("bitfit", "0", 0): (metric, right[0], gold)})
    row = tables(frame, kept, "bitfit").iloc[0]
    far = []
    places = [0, 1, 3, 4, 5, 6, 7]
    for ways in product((False, True), repeat=len(places)):
        swap = np.zeros(len(gold), dtype=bool)
        swap[places] = ways
        one = [score(metric, np.where(swap, right[0], own), gold)["score"] for own in left]
        other = [score(metric, np.where(swap, own, right[0]), gold)["score"] for own in left]
        far.append(abs(np.mean(one) - np.mean(other)))
    assert row["difference"] == pytest.approx(far[0])
    assert row["p"] == pytest.approx(np.mean(np.array(far) >= far[0] - 1e-9))
    half = np.quantile(far, 0.95, method="higher")
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(half)


def test_few_examples_are_not_told_apart_too_often() -> None:
    """56 examples with a rare class, as CB has: a bootstrap rejected in 7 to 9 of 100 cases."""
    draw = np.random.default_rng(0)
    hits = []
    for _ in range(400):
        gold = draw.choice(3, size=56, p=(0.5, 0.41, 0.09))
        sides = [np.where(draw.random((2, 56)) < 0.2, (gold + draw.integers(1, 3, 56)) % 3, gold) for _ in range(2)]
        left, right = (Answers("accuracy_macro_f1", side, gold, np.zeros(2)) for side in sides)
        hits.append(examples._pair(left, right)["p"] < 0.05)
    assert 0.02 < np.mean(hits) < 0.075
