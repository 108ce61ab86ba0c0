"""What a frame says of the paper: the paper's own numbers fed in, and runs of which the answer is known."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis import claims, outcomes, style, verdict
from analysis.claims import CLAIMS
from analysis.frame import tidy
from analysis.outcomes import Macro, Outcome
from analysis.places import places
from analysis.published import match, published
from analysis.reports import DEFAULT, Options
from analysis.selection import assignments, best_assignments

#: Five numbers with median 0 and sample deviation 1.
FIVE = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / math.sqrt(0.625)


def as_runs(table: pd.DataFrame, seeds: int = 1) -> pd.DataFrame:
    """A published table as a frame: seeds whose median is the printed one and, of five, whose deviation is too."""
    parts = []
    for seed in range(seeds):
        spread = table["std"].fillna(0.0) * (FIVE[seed] if seeds > 1 else 0.0)
        rows = table.assign(
            study="paper", assignment_id="a", seed=seed, status="finished", score=table["median"] + spread
        )
        rows["trial_id"] = [f"{i}-{seed}" for i in range(len(table))]
        parts.append(rows if seed == 0 else rows[table["std"].notna()])
    frame = pd.concat(parts).assign(best_epoch=None, epochs=None, trainable_parameters=None, seconds=None)
    return tidy(frame.drop(columns=["median", "std"]))


def check(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    return claims.check(frame, options)


def by_place(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    return table.set_index(["claim", "benchmark", "backbone"])["verdict"].to_dict()


UNTOLD_BY_TABLES = {"short_prompts", "above_at_all_sizes", "on_par_at_all_sizes", "few_assignments"}


def test_the_papers_medians_hold_up_all_that_its_tables_support() -> None:
    table = check(as_runs(published()[0]))
    told = table[~table["claim"].isin({*UNTOLD_BY_TABLES, "smaller_deviations"})]
    assert set(told["verdict"]) == {"holds in the numbers"}
    assert set(told["claim"]) == {claim.name for claim in CLAIMS} - UNTOLD_BY_TABLES | {"gap_shrinks"}
    assert set(table[~table.index.isin(told.index)]["verdict"]) == {"could not have been shown"}


def test_with_the_papers_deviations_its_noise_decides() -> None:
    """Where the paper's own deviations are too large for a conclusion, even its own numbers leave it open."""
    table = check(as_runs(published()[0], seeds=5))
    told = by_place(table)
    assert told["fc_above_v2_large", "glue", "roberta-large"] == "holds"
    assert told["fc_equals_v2_base", "glue", "roberta-base"] == "holds"
    assert told["fc_equals_fine_tuning", "glue", "roberta-large"] == "holds"
    assert told["smaller_deviations", "", ""] == "holds"
    assert told["lora_adapters_xl", "superglue", "deberta-xl"] == "holds in the numbers"  # one seed each
    assert told["adapters_above_large", "superglue", "roberta-large"] == "not shown"  # 85.4 for 84.8, std 20
    assert not {"does not hold", "does not hold in the numbers"} & set(table["verdict"])


def test_the_papers_numbers_lie_within_its_deviations() -> None:
    frame = as_runs(published()[0], seeds=5)
    found = verdict.cells(best_assignments(assignments(frame)))
    assert len(found) == 240
    assert (found["difference"] == 0).all()
    first, second, *_ = verdict.verdict(frame)
    assert first.startswith("Of 184 cells with a published deviation, 184 (100 %) lie within it and 184 within two;")
    assert "no deviation for 56 cells (one seed); the largest difference there is 0.0 points" in first
    assert second == "All 32 macro scores are the paper's, as printed."


def test_cells_and_macros_by_hand() -> None:
    """BitFit on RTE (80.9 ± 1.4) and CoLA (60.4 ± 1.2): ours 1.4 and 1.3 higher."""
    results = published()[0].query("backbone == 'roberta-base' and method == 'bitfit'")
    results = results[results["task"].isin(["glue/rte", "glue/cola"])]
    frame = as_runs(
        results.assign(median=results["median"] + results["task"].map({"glue/rte": 1.4, "glue/cola": 1.3})), 5
    )
    found = verdict.cells(best_assignments(assignments(frame))).set_index("task")
    assert found["difference"].tolist() == pytest.approx([1.3, 1.4])
    assert found.at["glue/rte", "errors"] == pytest.approx(1.4 / math.sqrt(2 * 0.2868 * 1.4**2))
    (first, second, *_) = verdict.verdict(frame)
    assert first.startswith("Of 2 cells with a published deviation, 1 (50 %) lie within it and 2 within two;")
    assert "BitFit, GLUE · RoBERTa-Base: 72.0 for 70.7 (+1.3)" in second  # 72.0 = (82.3 + 61.7) / 2; 70.65 prints 70.7


def test_another_backbone_is_tested_in_direction_only() -> None:
    results = published()[0].query("backbone == 'roberta-large' and benchmark == 'glue'").assign(backbone="minilm")
    frame = as_runs(results)
    table = check(frame)
    told = by_place(table)
    assert told["fc_above_kronecker", "glue", "minilm"] == "holds in the numbers"
    assert not table.set_index("claim").loc["fc_above_kronecker", "matched"]
    assert told["fc_above_v2_large", "glue", "roberta-large"] == "could not have been shown"
    assert table.set_index("claim").at["fc_above_v2_large", "reason"] == "GLUE · RoBERTa-Large was not run"
    assert verdict.verdict(frame)[0].startswith("No backbone here is one of the paper's")
    assert verdict.verdict(frame.assign(benchmark="mine")) == []


def test_what_does_not_hold_is_named() -> None:
    results = published()[0].query("backbone == 'roberta-large' and benchmark == 'glue'").copy()
    results.loc[results["method"] == "aot_fc", "median"] -= 5
    lines = verdict.verdict(as_runs(results, 5))
    (line,) = [line for line in lines if line.startswith("Does not hold: ")]
    assert "FC AoT P-Tuning scores above Kronecker AoT P-Tuning." in line
    assert "outperforms P-Tuning v2 on GLUE" in line
    assert "P-Tuning v1" not in line


def test_a_method_that_misses_a_task_is_not_compared() -> None:
    results = published()[0].query("backbone == 'roberta-large' and benchmark == 'glue'")
    frame = as_runs(results[(results["method"] != "aot_fc") | (results["task"] != "glue/rte")])
    told = check(frame).set_index("claim")
    assert told.at["fc_above_kronecker", "verdict"] == "could not have been shown"
    assert told.at["fc_above_kronecker", "reason"] == "no score on every task of FC AoT P-Tuning"


def sizes(v2: dict[int, float], fc: dict[int, float]) -> pd.DataFrame:
    """Two tasks of GLUE with RoBERTa-Base, five seeds of deviation 0.1 at each prompt length and rank."""
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "roberta-base", "task": task, "method": method,
            "assignment_id": str(size), "trial_id": f"{task}{method}{size}{seed}", "seed": seed, "status": "finished",
            "score": score + FIVE[seed] / 10, "best_epoch": 1, "epochs": 1, "trainable_parameters": size,
            "seconds": 1.0, "hp.prompt_length": size if method == "p_tuning_v2" else None,
            "hp.rank": size if method == "aot_fc" else None,
        }
        for task in ("glue/rte", "glue/mrpc")
        for method, points in (("p_tuning_v2", v2), ("aot_fc", fc))
        for size, score in points.items()
        for seed in range(5)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def test_short_prompts() -> None:
    holding = check(sizes({5: 70, 100: 80}, {32: 80, 512: 79})).set_index("claim")
    assert holding.at["short_prompts", "verdict"] == "holds"
    short = check(sizes({5: 80, 100: 80}, {32: 80, 512: 79})).set_index("claim")
    assert short.at["short_prompts", "verdict"] == "not shown"
    assert "P-Tuning v2 at p = 100 80.0, P-Tuning v2 at p = 5 80.0: 0.0" in short.at["short_prompts", "reason"]
    never = check(sizes({5: 80, 100: 70}, {32: 80, 512: 79})).set_index("claim")
    assert never.at["short_prompts", "verdict"] == "does not hold"


def test_no_conclusion_holds_for_having_had_more_assignments() -> None:
    """FC AoT with 60 equal assignments, P-Tuning v2 with 4 of the same quality: by the scores that chose, FC AoT was
    above it in most studies."""
    verdicts, apparent = [], []
    for seed in range(12):
        draw = np.random.default_rng(seed)
        rows = [
            {
                "study": "s", "benchmark": "glue", "backbone": "roberta-large", "task": f"glue/{task}",
                "method": method, "assignment_id": f"{i}", "trial_id": f"{task}{method}{i}{k}", "seed": k,
                "status": "finished", "score": 80 + draw.normal(), "best_epoch": 1, "epochs": 1,
                "trainable_parameters": 1, "seconds": 1.0,
            }
            for task in "abcdef" for method, n in (("aot_fc", 60), ("p_tuning_v2", 4))
            for i in range(n) for k in range(5)
        ]  # fmt: skip
        frame = tidy(pd.DataFrame(rows))
        verdicts.append(check(frame).set_index("claim").at["fc_above_v2_large", "verdict"])
        best = best_assignments(assignments(frame)).groupby("method")["median"].mean()
        apparent.append(best["aot_fc"] - best["p_tuning_v2"])
    assert np.mean(apparent) > 0.5
    assert verdicts.count("holds") <= 1
    assert verdicts.count("does not hold") <= 1


def test_step_by_step_at_each_size() -> None:
    place = places(sizes({5: 70, 100: 80}, {32: 71, 512: 81}), DEFAULT)[0]
    assert claims._step_by_step(place, outcomes.above).verdict == "holds"
    place = places(sizes({5: 70, 100: 80}, {32: 71, 512: 79}), DEFAULT)[0]
    assert claims._step_by_step(place, outcomes.above).verdict == "does not hold"
    place = places(sizes({5: 70, 20: 75, 100: 80}, {32: 71, 512: 79}), DEFAULT)[0]
    assert claims._step_by_step(place, outcomes.above).verdict == "could not have been shown"


def test_few_assignments_by_enumeration(make_runs: Callable) -> None:
    """Of more than 99 assignments the expected best of 99 of them is compared, on more than half of the tasks."""
    tasks = tuple("abcdef")
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "x", "task": f"glue/{task}", "method": method,
            "assignment_id": str(i), "trial_id": f"{task}{method}{i}", "seed": 0, "status": "finished",
            "score": float(i) + (1000 if method == "aot_fc" and i == 100 else 0), "best_epoch": 1, "epochs": 1,
            "trainable_parameters": 1, "seconds": 1.0,
        }
        for task in tasks for method in ("p_tuning_v2", "aot_fc") for i in range(101)
    ]  # fmt: skip
    told = check(tidy(pd.DataFrame(rows))).set_index("claim")
    assert told.at["few_assignments", "verdict"] == "holds"  # 99 of 101 have the one of 1100 with chance 99/101
    assert "6 of 6" in told.at["few_assignments", "reason"]
    cut = tidy(pd.DataFrame(rows).assign(planned_in_cell=102, planned_in_study=9999))
    assert check(cut).set_index("claim").at["few_assignments", "verdict"] == "could not have been shown"
    few = tidy(pd.DataFrame(rows[:4] + rows[101:105]))
    assert check(few).set_index("claim").at["few_assignments", "verdict"] == "could not have been shown"


def test_spellings_of_backbones() -> None:
    assert match("microsoft/deberta-xlarge") == "deberta-xl"
    assert match("FacebookAI/RoBERTa-base", "glue") == "roberta-base"
    assert match("roberta-base", "superglue") is None
    assert match("minilm") is None


def a_macro(value: float, std: float | None, seeds: int = 5, tasks: int = 4) -> Macro:
    variance = math.nan if std is None else 0.2868 * std**2
    rows = {"selected": [value] * tasks, "fresh": value, "variance": variance, "df": seeds - 1}
    return outcomes.macro("m", pd.DataFrame(rows))


def test_the_interval_by_hand() -> None:
    """Two macros over 4 tasks of 5 seeds, deviation 2: variance 2·4·0.2868·4/16, on 8·4 degrees of freedom."""
    value, half = outcomes.gap(a_macro(71, 2), a_macro(70, 2))
    assert value == 1
    assert half == pytest.approx(2.0369333 * math.sqrt(2 * 4 * 0.2868 * 4 / 16))
    assert math.isnan(outcomes.gap(a_macro(71, None), a_macro(70, 2))[1])
    assert math.isnan(outcomes.gap(a_macro(71, 0), a_macro(70, 0))[1]), (
        "equal scores do not say how unequal they could be"
    )


def test_a_macro_is_that_of_fresh_seeds_also_where_its_interval_is_held_back() -> None:
    rows = pd.DataFrame({"selected": [80.0, 80.0], "fresh": [70.0, 72.0], "variance": math.nan, "df": 4})
    assert outcomes.macro("m", rows) == Macro("m", 71.0)
    assert outcomes.macro("m", rows.assign(fresh=[70.0, math.nan])) == Macro("m", 80.0)


@pytest.mark.parametrize(
    ("one", "std", "expected"),
    [(75, 2, "holds"), (71, 2, "not shown"), (65, 2, "does not hold"), (70.1, None, "holds in the numbers")],
)
def test_above(one: float, std: float | None, expected: str) -> None:
    assert outcomes.above(a_macro(one, std), a_macro(70, std)).verdict == expected


@pytest.mark.parametrize(
    ("one", "std", "expected"),
    [(70.2, 0.5, "holds"), (71, 0.5, "not shown"), (75, 0.5, "does not hold"),
     (71.1, None, "does not hold in the numbers")],
)  # fmt: skip
def test_on_par(one: float, std: float | None, expected: str) -> None:
    assert outcomes.on_par(a_macro(one, std), a_macro(70, std), 1.0).verdict == expected


def test_several_parts_are_as_certain_as_the_least_certain() -> None:
    sure, open_, wrong = Outcome("holds", "a"), outcomes.unknown("b"), Outcome("does not hold", "c")
    assert outcomes.all_of([sure, sure]).verdict == "holds"
    assert outcomes.all_of([sure, open_]) == open_
    assert outcomes.all_of([sure, open_, wrong]) == wrong


def test_most_by_a_sign_test() -> None:
    assert outcomes.mostly(6, 6, "").verdict == "holds"  # 2/64
    assert outcomes.mostly(0, 6, "").verdict == "does not hold"
    assert outcomes.mostly(5, 5, "").verdict == "could not have been shown"  # 2/32
    assert outcomes.mostly(5, 6, "").verdict == "not shown"  # 14/64
    assert outcomes.mostly(0, 0, "").verdict == "could not have been shown"


def test_verdicts_of_several_places() -> None:
    assert verdict.summary(["holds", "not shown"]) == "holds"
    assert verdict.summary(["holds", "holds in the numbers"]) == "holds in the numbers"
    assert verdict.summary(["holds", "does not hold"]) == "differs by place"
    assert verdict.summary(["could not have been shown", "not shown"]) == "not shown"
    assert verdict.summary(["could not have been shown"]) == "could not have been shown"


def test_names_of_methods_are_the_tables(make_runs: Callable) -> None:
    assert {name for claim in CLAIMS for name in claim.needs} <= set(style.METHODS)
    with_runs = check(make_runs(seeds=3), Options(margin=0.1))
    assert set(with_runs["verdict"]) <= {"holds", "does not hold", "not shown", "could not have been shown"}
