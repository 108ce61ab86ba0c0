"""Which methods are compared, on which scores, in which family; and how often equal ones are called different."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from analysis import significance
from analysis.evidence import evidence
from analysis.frame import tidy
from analysis.planned import EVERYTHING, Plan, planned
from analysis.reports import Options
from analysis.reports import significance as report
from analysis.significance import IMPOSSIBLE, MACRO, NOT_SHOWN, SHOWN, over_seeds, over_tasks
from analysis.tables import Table


def trials(cells: dict[tuple[str, str], Sequence[Sequence[float]]], first_seed: int = 0) -> pd.DataFrame:
    """Runs from the scores of each seed of each assignment, by (task, method)."""
    rows = []
    for (task, method), scores in cells.items():
        for i, own in enumerate(scores):
            for seed, score in enumerate(own, first_seed):
                rows.append({
                    "study": "s", "benchmark": "glue", "backbone": "b", "task": f"glue/{task}", "method": method,
                    "assignment_id": str(i), "trial_id": f"{task}-{method}-{i}-{seed}", "seed": seed,
                    "status": "finished", "score": score, "best_epoch": 1, "epochs": 2, "trainable_parameters": 10,
                    "seconds": 1.0,
                })  # fmt: skip
    return tidy(pd.DataFrame(rows))


def both(
    frame: pd.DataFrame, plan: Plan = EVERYTHING, confirmation: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = significance.comparisons(frame, evidence(frame, confirmation), plan)
    return over_seeds(found), over_tasks(found)


# --- plans -----------------------------------------------------------------------------------------------------------

KNOWN = ("lora", "bitfit", "aot_fc", "p_tuning_v2")


def test_plans() -> None:
    assert planned(None, KNOWN) == Plan(None, None)
    assert planned("lora", KNOWN) == Plan("lora", None)
    assert planned("p_tuning_v2:aot_fc", KNOWN) == Plan("p_tuning_v2", ("aot_fc",))
    assert planned(" lora : aot_fc, bitfit ,aot_fc", KNOWN) == Plan("lora", ("aot_fc", "bitfit"))


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("lorra", "unknown method 'lorra' in 'lorra'; known: aot_fc, bitfit, lora, p_tuning_v2"),
        ("lora:aot", "unknown method 'aot' in 'lora:aot'; known: aot_fc"),
        ("lora:", "names no method after the colon; known: aot_fc"),
        ("lora:lora", "compares 'lora' with itself"),
        ("", "unknown method ''"),
    ],
)
def test_a_plan_of_no_such_method_names_the_known_ones(against: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        planned(against, KNOWN)


def test_a_planned_comparison_is_a_family_of_one(make_runs: Callable) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "p_tuning_v2", "aot_fc"), seeds=5)
    seeds, tasks = both(frame, planned("p_tuning_v2:aot_fc", frame["method"]))
    assert set(seeds["method"]) == set(tasks["method"]) == {"aot_fc"}
    assert set(seeds["reference"]) == {"p_tuning_v2"}
    assert (seeds["p_holm"] == seeds["p"]).all()
    everything, _ = both(frame, planned("p_tuning_v2", frame["method"]))
    row, own = (table.set_index(["method", "task"]).loc["aot_fc", MACRO] for table in (everything, seeds))
    assert row["p"] == own["p"]
    assert everything["family"].groupby(everything["method"]).all().to_dict() == {
        "fine_tuning": False, "lora": True, "aot_fc": True,
    }  # fmt: skip


def test_fine_tuning_stands_outside_the_family_unless_it_is_planned(make_runs: Callable) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "bitfit", "aot_fc"), seeds=4)
    _, tasks = both(frame)
    tasks = tasks.set_index("method")
    assert math.isnan(tasks.loc["fine_tuning", "p_holm"])
    assert tasks.loc["fine_tuning", "p_least_holm"] == 0.25
    assert set(tasks.drop("fine_tuning")["p_least_holm"]) == {0.5}
    for against in ("lora:fine_tuning", "fine_tuning"):
        seeds, _ = both(frame, planned(against, frame["method"]))
        assert seeds["family"].all()
        assert seeds["p_holm"].notna().all()


# --- scores ----------------------------------------------------------------------------------------------------------


def test_the_test_is_of_the_difference_that_is_shown_on_seeds_that_chose_nothing() -> None:
    """Assignment 0 wins by the first two seeds; seeds 2 and 3 alone are compared."""
    frame = trials({
        ("rte", "lora"): [[80, 80, 61, 63], [70, 70, 99, 99]],
        ("rte", "bitfit"): [[60, 60, 64, 66]],
        ("cola", "lora"): [[50, 50, 50, 52]],
        ("cola", "bitfit"): [[40, 40, 40, 42]],
    })  # fmt: skip
    seeds, tasks = both(frame)
    assert set(seeds["reference"]) == {"lora"}, "the best by the seeds that chose, although it loses on the others"
    found = seeds.set_index("task")
    assert found["difference"].to_dict() == pytest.approx({MACRO: -3.5, "glue/rte": 3.0, "glue/cola": -10.0})
    assert found.loc["glue/rte", ["n_method", "n_reference", "kind"]].tolist() == [2, 2, "held out"]
    assert found.loc["glue/rte", "p"] == pytest.approx(2 / 6)
    assert found.loc[MACRO, "p_least"] == pytest.approx(2 / 36)
    assert tasks["difference"].tolist() == pytest.approx([-3.5])
    assert tasks["typical"].tolist() == pytest.approx([-3.5])
    assert tasks[["wins", "ties", "losses"]].values.tolist() == [[1, 0, 1]]


def test_confirmed_winners_are_compared_on_their_fresh_seeds() -> None:
    frame = trials({("rte", "lora"): [[80, 81, 82], [70, 70, 70]], ("rte", "bitfit"): [[60, 60, 60]]})
    fresh = trials({("rte", "lora"): [[75, 76, 77, 78, 79]], ("rte", "bitfit"): [[64, 65, 66, 67, 68]]}, 100)
    seeds, _ = both(frame, confirmation=fresh)
    row = seeds[seeds["task"] == "glue/rte"].iloc[0]
    assert (row["difference"], row["kind"], row["n_method"]) == (-11.0, "confirmed", 5)
    assert (row["p"], row["outcome"]) == (pytest.approx(2 / 252), SHOWN)


def test_three_answers() -> None:
    steps = np.arange(10.0) / 10
    frame = trials({
        ("rte", "lora"): [90 + steps], ("rte", "bitfit"): [50 + steps], ("rte", "adapters"): [90.4 + steps % 0.5],
    })  # fmt: skip
    seeds, tasks = both(frame, Plan("lora"))
    rows = seeds[seeds["task"] != MACRO].set_index("method")
    assert rows["outcome"].to_dict() == {"bitfit": SHOWN, "adapters": NOT_SHOWN}
    assert rows["p_least_holm"].tolist() == pytest.approx([4 / 252] * 2)
    assert rows["detectable"].between(0.2, 0.8).all(), "the deviation is 0.16"
    assert rows["needed"].isna().all()
    assert set(tasks["outcome"]) == {IMPOSSIBLE}
    assert tasks["needed"].tolist() == [7, 7]
    few = frame[frame["seed"] < 8]
    seeds, _ = both(few, Plan("lora"))
    assert set(seeds["outcome"]) == {IMPOSSIBLE}, "at 40 points as well: four seeds are left, and 4/70 is above 0.05"
    assert seeds["detectable"].isna().all()
    assert set(seeds["needed"]) == {5}


def test_one_seed_has_no_test(make_runs: Callable) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte", "cola"), seeds=1)
    seeds, tasks = both(frame)
    assert seeds.empty
    assert tasks.empty
    assert list(seeds.columns) == significance.OVER_SEEDS
    assert list(tasks.columns) == significance.OVER_TASKS
    section = report.render(report.compute(frame))
    assert section is not None
    assert "Nothing can be tested" in section.blocks[0]
    assert report.render(report.compute(make_runs(methods=("lora",), seeds=1))) is None


def test_the_papers_design(make_runs: Callable) -> None:
    """Eight tasks, five seeds, eight methods. Over seeds on all tasks together and over tasks all comparisons can be
    shown; task by task only with fresh seeds: five are enough for six comparisons, 12/252."""
    tasks = ("sts-b", "sst-2", "rte", "qqp", "qnli", "mrpc", "mnli", "cola")
    frame = make_runs(tasks=tasks, seeds=5)
    seeds, over = both(frame)
    macro = seeds[seeds["task"] == MACRO]
    assert (macro["outcome"] != IMPOSSIBLE).all()
    assert (over["outcome"] != IMPOSSIBLE).all()
    assert set(over.loc[over["family"], "p_least_holm"]) == {6 * 2 / 256}
    assert (seeds.loc[seeds["task"] != MACRO, "outcome"] == IMPOSSIBLE).all()
    confirmed, _ = both(frame, confirmation=frame.assign(seed=frame["seed"] + 100))
    single = confirmed[confirmed["task"] != MACRO]
    assert (single["outcome"] != IMPOSSIBLE).all()
    assert set(single.loc[single["family"], "p_least_holm"].round(6)) == {round(12 / 252, 6)}


@pytest.mark.parametrize("seeds", [4, 6])
def test_more_assignments_of_equal_quality_win_no_test(seeds: int) -> None:
    """40 assignments against 8, all of one quality: on the seeds that chose them the test rejects in 24 of 100 cases,
    on others in 5."""
    draw, studies = np.random.default_rng(4), 400
    names = [("rte", "lora", 40), ("rte", "bitfit", 8), ("cola", "lora", 40), ("cola", "bitfit", 8)]
    rows = [(t, m, str(a), s) for t, m, count in names for a in range(count) for s in range(seeds)]
    one = pd.DataFrame(rows, columns=["task", "method", "assignment_id", "seed"])
    frame = pd.concat([one.assign(backbone=f"{i:03}") for i in range(studies)], ignore_index=True)
    frame = frame.assign(benchmark="glue", status="finished", trainable_parameters=1)
    frame["score"] = draw.normal(80, 1, size=len(frame))
    found, _ = both(frame, Plan("bitfit"))
    macro = found[found["task"] == MACRO]
    assert len(macro) == studies
    assert (macro["p"] < 0.06).mean() == pytest.approx(0.055, abs=0.025), "two tasks, two seeds: the least is 2/36"
    assert macro["difference"].mean() == pytest.approx(0, abs=0.1)


# --- the section -----------------------------------------------------------------------------------------------------


def test_the_words_say_what_could_not_have_been_shown(make_runs: Callable) -> None:
    frame = make_runs(methods=("fine_tuning", "lora", "bitfit", "aot_fc"), tasks=("rte", "cola"), seeds=4)
    section = report.render(report.compute(frame, Options(against="lora")))
    assert section is not None
    count, macro, tasks, single = section.blocks
    assert isinstance(count, str)
    assert "task by task, 0 of 6 comparisons could be shown and 0 were" in count
    assert "over tasks, 0 of 3 comparisons could be shown" in count
    assert isinstance(macro, Table)
    assert isinstance(tasks, Table)
    assert isinstance(single, Table)
    assert macro.rows[1][-2].text == "could not have been shown with 2 and 2 seeds; 3 of each would be needed"
    assert tasks.rows[1][-1].text == "could not have been shown with 2 tasks; 7 would be needed"
    assert macro.rows[0][4].signs == "‡"
    assert "against LoRA, with other seeds" in macro.title
    assert single.rows[1][1].signs == "†"
    assert any("† could not have been shown with 2 seeds; 4 to 5 of each would be needed" in n for n in single.notes)
    tests = [cell.text for row in (*(row[:-1] for row in macro.rows), *tasks.rows) for cell in row]
    assert not any("not shown" in text for text in tests)
    assert {row[-1].text for row in macro.rows} <= {"better", "worse", "equal", "not shown"}, "of the interval"
