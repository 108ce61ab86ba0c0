"""What fresh seeds say of a study: from trials to estimates, by hand, and agreeing with the formulas on arrays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import estimates, inference, shares
from analysis.frame import tidy
from analysis.planned import Plan
from analysis.reports import QUESTIONS, Options, comparison
from analysis.reports import confirmation as report
from analysis.summary import findings
from common.selection import Seed, best_assignment, candidates


def study(
    methods: dict[str, tuple[int, float]], tasks: int = 8, seeds: int = 5, random: int = 0, spread: float = 1.0
) -> pd.DataFrame:
    """Trials of methods with so many equal assignments, and so many points above 70."""
    draw = np.random.default_rng(random)
    rows = [
        {
            "study": "s", "benchmark": "glue", "backbone": "b", "task": f"glue/{task}", "method": method,
            "assignment_id": f"{a:02}", "trial_id": f"{task}-{method}-{a}-{seed}", "seed": seed, "status": "finished",
            "score": 70 + lead + spread * draw.normal(), "best_epoch": 1, "epochs": 1, "trainable_parameters": 10 + a,
            "seconds": 1.0,
        }
        for task in range(tasks)
        for method, (count, lead) in methods.items()
        for a in range(count)
        for seed in range(seeds)
    ]  # fmt: skip
    return tidy(pd.DataFrame(rows))


def confirmed(frame: pd.DataFrame, seeds: int = 5, lead: float = 0.0, random: int = 1) -> pd.DataFrame:
    """Fresh seeds of every assignment: those of winners count."""
    draw = np.random.default_rng(random)
    first = frame[frame["seed"] < seeds]
    return first.assign(
        seed=first["seed"] + 100, trial_id="c" + first["trial_id"], role="confirmation",
        score=70 + lead + draw.normal(size=len(first)),
    )  # fmt: skip


def test_a_cell_is_judged_by_every_seed_left_out(make_runs: Callable[..., pd.DataFrame]) -> None:
    """By brute force with the rule itself, on runs of which some were lost."""
    frame = make_runs(losses=0.15, seeds=4, tasks=("rte", "cola"))
    found = estimates.estimates(frame)
    fresh = found.scores.set_index([*estimates.CELL, "seed"])["score"].to_dict()
    expected = {}
    for cell, own in frame[frame["score"].notna()].groupby(estimates.CELL):
        for seed in own["seed"].unique():
            others = own[own["seed"] != seed]
            whole = others.groupby("assignment_id")["seed"].transform("size") == own["seed"].nunique() - 1
            rows = others.loc[whole, ["assignment_id", "status", "score", "trainable_parameters"]]
            best = best_assignment(candidates(Seed(*row) for row in rows.itertuples(index=False, name=None)))
            score = own.loc[(own["assignment_id"] == best) & (own["seed"] == seed), "score"]
            if len(score):
                expected[*cell, seed] = score.item()
    assert fresh == expected
    cell = found.cells.iloc[0]
    own = [score for key, score in expected.items() if key[:4] == tuple(cell[estimates.CELL])]
    assert (cell["kind"], cell["n_fresh"], cell["fresh"]) == ("held out", len(own), np.median(own))


def test_confirmation_counts_before_what_is_held_out() -> None:
    frame = study({"lora": (3, 0.0), "bitfit": (1, 0.0)}, tasks=2)
    fresh = confirmed(frame, 3)
    fresh = fresh[(fresh["method"] == "lora") & (fresh["task"] == "glue/0")]
    found = estimates.estimates(frame, fresh)
    kinds = found.cells.set_index(["task", "method"])["kind"].to_dict()
    assert kinds.pop(("glue/0", "lora")) == "confirmed"
    assert set(kinds.values()) == {"held out"}
    (row,) = found.cells[found.cells["kind"] == "confirmed"].to_dict("records")
    own = fresh.loc[fresh["assignment_id"] == row["assignment_id"], "score"]
    searched = frame.merge(pd.DataFrame([row])[[*estimates.CELL, "assignment_id"]])["score"]
    assert (row["fresh"], row["n_fresh"], row["df"]) == (own.median(), 3, 6)
    assert row["variance"] == pytest.approx(0.4487 * (2 * own.var() + 4 * searched.var()) / 6)


def test_seeds_that_decided_are_not_held_out() -> None:
    """The first seed of a promotion chose which assignments got the others; a pruned trial was cut for its score."""
    frame = study({"lora": (4, 0.0)}, tasks=1, seeds=3)
    promoted = frame["assignment_id"].isin(["00", "01"])
    kept = frame[promoted | (frame["seed"] == 0)].reset_index(drop=True)
    tagged = kept.assign(promotion=["promoted" if seed else "first" for seed in kept["seed"]])
    assert set(estimates.estimates(tagged).scores["seed"]) == {1, 2}
    pruned = frame.assign(status=["pruned" if i == 7 else "finished" for i in range(len(frame))])
    assert set(estimates.estimates(pruned).cells["kind"]) == {""}
    assert set(estimates.estimates(pruned, confirmed(frame)).cells["kind"]) == {"confirmed"}


def test_one_seed_has_no_estimate_and_says_so() -> None:
    frame = study({"lora": (3, 0.0), "bitfit": (2, 0.0)}, seeds=1)
    found = estimates.estimates(frame)
    assert estimates.macros(found)[["fresh", "lower", "curse"]].isna().all(axis=None)
    assert estimates.differences(found).empty
    assert "Nothing could have been shown of that lead" in findings(frame)[1].text
    once = estimates.macros(estimates.estimates(frame, confirmed(frame, 1)))
    assert once["fresh"].notna().all()
    assert once["lower"].isna().all(), "one seed tells no spread"


def test_the_curse_of_many_assignments_is_taken_out() -> None:
    """40 equal assignments against 8: the selected gap is half a point, the one on fresh seeds about nothing."""
    gaps = []
    for random in range(12):
        frame = study({"lora": (40, 0.0), "bitfit": (8, 0.0)}, random=random)
        table = estimates.macros(estimates.estimates(frame)).set_index("method")
        gaps.append([table.loc["lora", name] - table.loc["bitfit", name] for name in ("selected", "fresh", "curse")])
        assert table["curse"].tolist() == pytest.approx((table["selected"] - table["fresh"]).tolist())
    selected, fresh, curse = np.mean(gaps, axis=0)
    assert selected > 0.3
    assert abs(fresh) < 0.15
    assert curse > 0.2


def test_a_difference_is_that_of_the_formulas() -> None:
    frame = study({"lora": (3, 2.0), "bitfit": (3, 0.0), "fine_tuning": (2, 3.0)})
    found = estimates.estimates(frame)
    table = estimates.differences(found).set_index("method")
    assert set(table["reference"]) == {"lora"}
    assert table["comparisons"].tolist() == [1, 1]
    assert table.loc["fine_tuning", ["lower_all", "upper_all"]].isna().all(), "apart from the family"
    own = {m: rows.sort_values("task") for m, rows in found.cells.groupby("method")}
    gap = (own["bitfit"]["fresh"].to_numpy() - own["lora"]["fresh"].to_numpy()).mean()
    error = math.sqrt(sum(own[m]["variance"].sum() for m in ("bitfit", "lora"))) / 8
    row = table.loc["bitfit"]
    assert row["difference"] == pytest.approx(gap)
    variances = np.concatenate([own[m]["variance"] for m in ("bitfit", "lora")])
    df = variances.sum() ** 2 / (variances**2 / 4).sum()
    assert (row["upper"] - row["lower"]) / 2 == pytest.approx(stats.t.ppf(0.975, df) * error)
    assert estimates.differences(found, Plan("bitfit")).set_index("method").loc["lora", "difference"] == pytest.approx(
        -gap
    )
    assert estimates.differences(found, Plan("adapters")).empty
    assert estimates.differences(found, Plan("bitfit", ("lora",)))["method"].tolist() == ["lora"]


def test_what_is_said_is_what_the_interval_says() -> None:
    frame = study({"aot_fc": (6, 2.0), "lora": (6, 1.95), "bitfit": (6, 0.0)})
    data = comparison.compute(frame)
    verdicts = {row["method"]: comparison.verdict(row, 1.0) for row in data.differences.to_dict("records")}
    assert verdicts["bitfit"] == "worse"
    rows = {row["method"]: row for row in data.differences.to_dict("records")}
    text = comparison.words(rows, 0.01)
    assert "Shown to be worse" in text
    assert "That is no sign of equality: differences of" in text
    assert "Equal to it in practice, within 5.0 points" in comparison.words(rows, 5.0)
    which, sure = findings(frame, Options(margin=0.01))
    assert (which.question, sure.question) == QUESTIONS[:2]
    assert "share the highest macro score" in which.text
    assert "is not shown" in sure.text
    assert "estimated by holding out seeds, not confirmed" in sure.text
    _, sure = findings(frame, Options(confirmation=confirmed(frame, lead=2.0)))
    assert ", confirmed." in sure.text


def test_the_seeds_that_are_needed_find_the_difference_in_80_of_100_cases() -> None:
    """By simulation: eight tasks, medians of n normal scores of deviation 1, a difference of 0.5 points."""
    draw = np.random.default_rng(0)

    def power(seeds: int, gap: float) -> float:
        scores = draw.normal(size=(4000, 2, 8, seeds)) + np.array([gap, 0.0])[:, None, None]
        variances = inference.median_variance(np.array(seeds)) * scores.var(axis=-1, ddof=1).reshape(4000, 16)
        error, df = inference.joined(variances, np.full(16, seeds - 1))
        gaps = np.median(scores, axis=-1).mean(axis=-1) @ np.array([1, -1])
        return float((stats.t.ppf(0.975, df) * error / 8 < gaps).mean())

    error = math.sqrt(2 * 8 * 0.2868) / 8
    row = {"method": "lora", "comparisons": 1, "n_seeds": 5, "error": error, "df": 64.0, "difference": 0.5}
    assert power(5, comparison.detectable(row)) == pytest.approx(0.8, abs=0.03)
    needed = comparison.seeds_needed(row)
    assert needed is not None
    assert power(needed - 3, 0.5) < 0.8 <= power(needed, 0.5) + 0.02
    assert comparison.seeds_needed(row | {"difference": 0.0}) is None
    assert math.isnan(comparison.detectable(row | {"error": math.nan}))


@pytest.mark.parametrize(("assignments", "reference", "pairs"), [(1, None, 3), (2, None, 2), (1, "lora", 2)])
def test_all_pairs_count_where_the_compared_scores_found_the_best(
    assignments: int, reference: str | None, pairs: int
) -> None:
    frame = study(dict.fromkeys(("lora", "bitfit", "adapters"), (assignments, 0.0)), tasks=2)
    table = estimates.differences(estimates.estimates(frame), Plan(reference))
    assert set(table["comparisons"]) == {pairs}


def test_of_one_assignment_nothing_is_chosen_and_seeds_are_independent() -> None:
    frame = study({"lora": (1, 0.0), "bitfit": (2, 0.0)}, tasks=1)
    cells = estimates.estimates(frame).cells.set_index("method")
    own = frame.loc[frame["method"] == "lora", "score"]
    assert cells.at["lora", "fresh"] == own.median()
    assert cells.at["lora", "variance"] == pytest.approx(0.2868 * own.var())


def test_the_report_says_what_a_confirmation_would_cost() -> None:
    frame = study({"lora": (3, 0.0), "bitfit": (2, 0.0)}, tasks=2)
    section = report.render(report.compute(frame))
    assert section is not None
    assert "aot run STUDY --confirm 5, which is 20 trials (5 seeds of 4 best assignments)" in str(section.blocks[0])
    done = report.render(report.compute(frame, Options(confirmation=confirmed(frame))))
    assert done is not None
    kept = "4 of 4 best assignments are confirmed on fresh seeds."
    assert done.blocks[0] == f"{kept} 30 confirmation trials of assignments that are not the best are passed over."


def test_what_a_confirmation_leaves_open_is_said() -> None:
    """Winners of which some confirmation seeds failed, so that two are left: a collapsed run moves their median."""
    frame = study({"lora": (1, 0.0), "bitfit": (1, 0.0)}, tasks=2)
    fresh = confirmed(frame, 3)
    lost = fresh["seed"] == 102
    fresh = fresh.assign(status=["failed" if f else "finished" for f in lost], score=fresh["score"].mask(lost))
    options = Options(confirmation=fresh)
    section, comparing = (r.render(r.compute(frame, options)) for r in (report, comparison))
    assert section is not None
    assert comparing is not None
    assert "4 confirmation trials of best assignments gave no score" in str(section.blocks[0])
    told = "On GLUE · b 3 fresh seeds per cell would be needed: "
    for text in (str(section.blocks[0]), str(comparing.blocks[-1])):
        assert told in text
        assert "LoRA (none of 14)" in text
    assert "as runs may collapse, without 3 fresh seeds per cell: " in str(comparing.blocks[0])
    safe = report.render(report.compute(frame, Options(confirmation=confirmed(frame, 3))))
    assert safe is not None
    assert "collapsed" not in str(safe.blocks[0])


def test_interquartile_means_and_profiles_are_of_methods_with_all_tasks() -> None:
    frame = study({"lora": (2, 0.0), "bitfit": (2, 0.0)})
    part = frame[(frame["method"] == "lora") | (frame["task"] != "glue/0")]
    found = estimates.estimates(part)
    assert shares.interquartile_means(found)["method"].tolist() == ["lora"]
    table = shares.profiles(found)
    assert set(table["method"]) == {"lora"}
    assert table["share"].iloc[[0, -1]].tolist() == [1.0, 0.0]
    grid = np.stack([own["score"] for _, own in found.scores[found.scores["method"] == "lora"].groupby("task")])
    iqm = inference.interquartile_mean(grid, inference.HELD_OUT_MIDDLE, 0.5 / 71)
    assert shares.interquartile_means(found)[["iqm", "lower", "upper"]].iloc[0].tolist() == pytest.approx(list(iqm))
    few = estimates.estimates(study({"lora": (2, 0.0)}, tasks=4))
    assert shares.interquartile_means(few).empty


def test_an_interval_ends_where_scores_do() -> None:
    """Scores about 99.5 whose spread would reach beyond 100; of Matthews' coefficient about zero, below it."""
    frame = study({"lora": (1, 29.5), "bitfit": (1, 29.5)}, tasks=1)
    frame["score"] = frame["score"].clip(upper=100.0)
    found = estimates.estimates(frame)
    (row,) = estimates.macros(found)[lambda table: table["method"] == "lora"].to_dict("records")
    (cell,) = found.cells[found.cells["method"] == "lora"].to_dict("records")
    reach = stats.t.ppf(0.975, 4) * math.sqrt(cell["variance"])
    assert cell["fresh"] + reach > 100
    assert (row["lower"], row["upper"]) == (pytest.approx(cell["fresh"] - reach), 100.0)
    low = frame.assign(score=100 - frame["score"])
    ends = {}
    for metric in ("accuracy", "matthews", "pearson_spearman", "accuracy_f1", ""):
        table = estimates.macros(estimates.estimates(low.assign(metric=metric)))
        ends[metric] = table.set_index("method").at["lora", "lower"]
    assert ends["accuracy"] == ends["accuracy_f1"] == 0.0
    assert ends["matthews"] == ends["pearson_spearman"] == ends[""] < 0, "nobody knows: nothing is cut"
    wide = study({"lora": (1, 25.0), "bitfit": (1, -60.0)}, tasks=1, spread=60.0)
    table = estimates.differences(estimates.estimates(wide.assign(metric="accuracy", score=wide["score"].clip(0, 100))))
    assert table[["lower", "upper"]].abs().max(axis=None) == 100


def test_nothing_is_inflated_where_nothing_was_chosen() -> None:
    """With one assignment the seeds are independent: improvements as if they had been confirmed."""
    frame = study({"lora": (1, 1.0), "bitfit": (1, 0.0)})
    found = estimates.estimates(frame)
    grids = {m: np.stack([own["score"] for _, own in rows.groupby("task")]) for m, rows in frame.groupby("method")}
    (row,) = estimates.differences(found).to_dict("records")
    expected = inference.improvement(grids["bitfit"], grids["lora"])
    assert [row[f"improvement{end}"] for end in ("", "_lower", "_upper")] == pytest.approx(list(expected))
