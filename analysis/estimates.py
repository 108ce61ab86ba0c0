"""From trials to what fresh seeds say: macro scores, the winner's curse, differences of methods, profiles.

A cell's estimate is the median over seeds, as in the results, of scores that its chosen assignment got on seeds that
took no part in the choice. Where the study confirmed its winners these are the confirmation seeds. Elsewhere each seed
of the search is left out in turn: the other seeds choose, and the choice is scored on the one left out. With one
assignment nothing is chosen, and the estimate is the result itself. Where runs collapse (:mod:`analysis.collapses`), a
median of few seeds has no variance here, and so no interval anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import bounds, collapses, inference
from analysis.planned import EVERYTHING, Plan
from analysis.references import comparable, reference
from analysis.selection import (
    APART,
    CELL,
    METHOD,
    PLACE,
    assignments,
    best_assignments,
    is_scored,
    macro_scores,
    once,
)

_KEYS = [*CELL, "assignment_id"]
MACROS = [*METHOD, "n_tasks", "complete", "selected", "fresh", "lower", "upper", "curse", "curse_lower", "curse_upper",
          "n_confirmed"]  # fmt: skip
DIFFERENCES = [
    *(
        *PLACE,
        "reference",
        "method",
        "n_tasks",
        "n_confirmed",
        "n_seeds",
        "difference",
        "error",
        "df",
        "lower",
        "upper",
    ),
    *("comparisons", "lower_all", "upper_all", "improvement", "improvement_lower", "improvement_upper"),
    "safe_seeds",
]


@dataclass(frozen=True)
class Estimates:
    """What fresh seeds say of a study.

    ``cells``: a row per cell with a score: ``assignment_id``, ``selected`` (its median over the search's ``n_seeds``),
    ``kind`` (``confirmed``, ``held out``, or empty where no seed is fresh), ``n_fresh``, ``fresh`` (the median of the
    fresh scores), its ``variance`` and ``df``, and ``n_assignments`` with a score, out of which it was chosen.
    ``variance`` is NaN for all of a method whose runs collapse too often for so few seeds; ``lowest`` is the least that
    the task's metric can be. ``scores``: a row per fresh score. ``macros``: those of the results. ``collapses``: a row
    per method with a fresh score, see :func:`analysis.collapses.of_methods`.
    """

    cells: pd.DataFrame
    scores: pd.DataFrame
    macros: pd.DataFrame
    collapses: pd.DataFrame


def estimates(frame: pd.DataFrame, confirmation: pd.DataFrame | None = None) -> Estimates:
    """The fresh scores of every cell's chosen assignment, from the search's trials and those of confirmation.

    Held out: a cell with two seeds or more, without a pruned trial (its seeds were cut short for their scores). Where
    assignments were promoted by their first seed, that seed took part in every choice and is not left out.
    """
    return once(frame, ("estimates", id(confirmation)), lambda: _estimates(frame, confirmation))


def _estimates(frame: pd.DataFrame, confirmation: pd.DataFrame | None) -> Estimates:
    table = assignments(frame)
    winners = best_assignments(table)
    cells = winners.dropna(subset="median").rename(columns={"median": "selected"})
    cells = cells[[*_KEYS, "selected", "std", "n_seeds", "n_scored_assignments"]].reset_index(drop=True)
    cells = cells.rename(columns={"n_scored_assignments": "n_assignments"})
    scored = confirmation[is_scored(confirmation)] if confirmation is not None else frame.iloc[:0]
    fresh = scored.merge(cells[_KEYS], on=_KEYS)[[*CELL, "seed", "score"]].assign(kind="confirmed")
    done = pd.MultiIndex.from_frame(fresh[CELL])
    rest = frame[~pd.MultiIndex.from_frame(frame[CELL]).isin(done)] if len(fresh) else frame
    held, spread = _held_out(rest)
    scores = pd.concat([part for part in (fresh, held) if len(part)], ignore_index=True) if len(fresh) else held
    counted = scores.groupby([*CELL, "kind"])["score"].agg(fresh="median", n_fresh="size", own="var").reset_index()
    cells = cells.merge(counted, on=CELL, how="left").merge(spread, on=CELL, how="left")
    cells = _with_variance(cells).merge(bounds.lowest(frame), on=CELL[:3], how="left")
    found = collapses.of_methods(cells, frame[is_scored(frame)], fresh)
    often = cells[METHOD].merge(found, on=METHOD, how="left")["too_often"].eq(True)
    cells["variance"] = cells["variance"].mask(often)
    return Estimates(cells, scores, macro_scores(winners), found)


def _with_variance(cells: pd.DataFrame) -> pd.DataFrame:
    """``variance`` of a cell's estimate and its degrees of freedom.

    Confirmed: that of the confirmation seeds and of the winner's search seeds together, as the choice goes by the level
    of scores and not by their spread. Held out: the chosen assignments' over all seeds. Of one assignment nothing was
    chosen, and its seeds are independent.
    """
    n, seeds = cells["n_fresh"].fillna(1).astype(int), cells["n_seeds"]
    held = cells["kind"] == "held out"
    freedom = (n - 1) + (seeds - 1)
    squares = (n - 1) * cells["own"].fillna(0) + (seeds - 1) * cells["std"].fillna(0) ** 2
    one = np.where(held, cells["spread"], squares / freedom.where(freedom > 0))
    s = np.maximum(cells["s"].fillna(2), 2)
    inflation = np.where(held_out(cells), inference.median_inflation(s), 1.0)
    variance = np.where(cells["kind"].notna(), inflation * inference.median_variance(n.to_numpy()) * one, np.nan)
    df = np.where(held, s - 1, freedom)
    cells = cells.assign(kind=cells["kind"].fillna(""), n_fresh=cells["n_fresh"].fillna(0).astype(int))
    return cells.drop(columns=["std", "own", "spread", "s"]).assign(variance=variance, df=df)


def _held_out(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every seed left out, and per cell the ``spread`` that :func:`inference.leave_one_out` gives and its
    number of seeds ``s``."""
    pruned = frame.loc[frame["status"] == "pruned", CELL].drop_duplicates()
    if len(pruned):
        frame = frame[~pd.MultiIndex.from_frame(frame[CELL]).isin(pd.MultiIndex.from_frame(pruned))]
    scored = frame[is_scored(frame)]
    sizes = scored.groupby(_KEYS)["trainable_parameters"].max().astype(float).rename("size").reset_index()
    sizes = sizes.sort_values([*CELL, "size", "assignment_id"])  # the order in which ties are decided
    sizes["a"] = sizes.groupby(CELL).cumcount()
    work = scored.merge(sizes[[*_KEYS, "a"]], on=_KEYS)
    work["c"] = work.groupby(CELL).ngroup()
    work["place"] = work.groupby("c")["seed"].rank(method="dense").astype(int) - 1
    work["s"] = work.groupby("c")["place"].transform("max") + 1
    work["first"] = work["promotion"].eq("first") if "promotion" in work else False
    promoted = (
        work.groupby("c")["promotion"].transform(lambda own: own.eq("promoted").any()) if "promotion" in work else False
    )
    work["first"] &= promoted
    scores, spreads = [], []
    for seeds, rows in work[work["s"] > 1].groupby("s"):
        c = rows["c"].rank(method="dense").astype(int).to_numpy() - 1
        array = np.full((c.max() + 1, rows["a"].max() + 1, int(seeds)), np.nan)
        array[c, rows["a"], rows["place"]] = rows["score"]
        fresh, spread = inference.leave_one_out(array)
        kept = np.ones(fresh.shape, bool)
        kept[c[rows["first"]], rows["place"][rows["first"]]] = False
        at, place = np.nonzero(np.isfinite(fresh) & kept)
        names = rows.drop_duplicates("c").sort_values("c")[CELL].reset_index(drop=True)
        numbers = rows.drop_duplicates(["c", "place"]).set_index(["c", "place"])["seed"]
        order = np.sort(rows["c"].unique())
        seed = numbers.loc[list(zip(order[at], place, strict=True))].to_numpy()
        scores.append(names.iloc[at].assign(seed=seed, score=fresh[at, place], kind="held out"))
        spreads.append(names.assign(spread=spread, s=int(seeds)))
    if not scores:
        nothing = pd.DataFrame({name: pd.Series(dtype=str) for name in CELL})
        return nothing.assign(seed=[], score=[], kind=""), nothing.assign(spread=[], s=[])
    return pd.concat(scores, ignore_index=True), pd.concat(spreads, ignore_index=True)


# --- per method ------------------------------------------------------------------------------------------------------


def macros(found: Estimates) -> pd.DataFrame:
    """A row per method: its macro as ``selected``, what fresh seeds say (``fresh``, with a 95 % interval ``lower`` to
    ``upper``), and ``curse``, the one less the other, with its interval.

    Over the ``n_tasks`` tasks with a score; ``n_confirmed`` of them have confirmation seeds. ``fresh`` is NaN where a
    task has no fresh seed, the interval where nothing tells its spread. An end is never beyond what a score can be.
    """
    rows = []
    complete = found.macros.set_index(METHOD)["complete"].to_dict()
    for place, own in found.cells.groupby(METHOD):
        mean, lower, upper = inference.mean_interval(
            *(own[name].to_numpy(float) for name in ("fresh", "variance", "df"))
        )
        selected = own["selected"].mean()
        lower, upper = np.clip((lower, upper), own["lowest"].mean(), bounds.HIGHEST)
        rows.append((*place, len(own), complete[place], selected, mean, lower, upper, selected - mean,
                     selected - upper, selected - lower, int((own["kind"] == "confirmed").sum())))  # fmt: skip
    return pd.DataFrame(rows, columns=MACROS)


def differences(found: Estimates, plan: Plan = EVERYTHING) -> pd.DataFrame:
    """A row per method and benchmark and backbone: by how many points it is above the reference on fresh seeds.

    ``plan``: what is compared; without a reference of its own, with the best method that can be compared
    (:mod:`analysis.references`).
    ``difference`` is the mean over the ``n_tasks`` tasks on which both have fresh scores, ``n_confirmed`` of them
    confirmed on both sides; ``lower`` to ``upper`` holds the truth in 95 % of cases, and ``lower_all`` to ``upper_all``
    for all ``comparisons`` of a reference at once (Bonferroni; NaN for fine-tuning, which is not of the family). These
    are all pairs of methods where nobody named the reference and a cell has one assignment and no confirmation: the
    very scores that are compared then made it the best.
    ``error`` is the standard error of the difference, with ``df`` degrees of freedom.
    ``improvement``: the probability that a fresh run beats one of the reference on the same task, with its interval.
    ``n_seeds``: the fewest fresh scores of a cell. ``safe_seeds``: from how many an interval would hold, where runs
    of either method collapse too often for that; above 100 if none of 100 does, missing elsewhere.
    """
    rows = []
    tables = {key: own.set_index("task") for key, own in found.cells[found.cells["kind"] != ""].groupby(METHOD)}
    scores = {key: own["score"].to_numpy() for key, own in found.scores.groupby(CELL)}
    often = found.collapses[found.collapses["too_often"]]
    needed = dict(zip(often[METHOD].itertuples(index=False, name=None), often["needed"], strict=True))
    fit = comparable(found.cells)
    for place, group in found.macros.groupby(PLACE):
        name = reference(group, plan.reference, fit.get(place, frozenset()))
        if name is None or (*place, name) not in tables:
            continue
        wanted = group["method"] if plan.methods is None else [m for m in plan.methods if m in set(group["method"])]
        others = [m for m in wanted if m != name and (*place, m) in tables]
        family = sum(m != APART for m in others)
        if plan.reference is None and any(_chose_itself(tables[*place, m]) for m in (name, *others) if m != APART):
            family = family * (family + 1) // 2
        for method in others:
            both = [tables[*place, m] for m in (method, name)]
            tasks = sorted(set(both[0].index) & set(both[1].index))
            if tasks:
                cells = [scores[*place, t, m] for m in (method, name) for t in tasks]
                row = _difference([table.loc[tasks] for table in both], cells, family, method == APART)
                safe = max((needed[*place, m] for m in (method, name) if (*place, m) in needed), default=pd.NA)
                rows.append((*place, name, method, *row, safe))
    return pd.DataFrame(rows, columns=DIFFERENCES).astype({"safe_seeds": "Int64"})


def _difference(both: list[pd.DataFrame], cells: list[np.ndarray], family: int, apart: bool) -> tuple:
    """One row of :func:`differences`, from ``n_tasks`` on."""
    tasks = len(both[0])
    # Of 2t independent estimates, each counted twice, the mean is the difference of two means over t.
    values = 2 * np.concatenate([both[0]["fresh"], -both[1]["fresh"]])
    variances, df = (np.concatenate([table[name].to_numpy(float) for table in both]) for name in ("variance", "df"))
    mean, lower, upper = inference.mean_interval(values, 4 * variances, df)
    level = inference.LEVEL if apart else 1 - (1 - inference.LEVEL) / family
    ends = np.array(inference.mean_interval(values, 4 * variances, df, level)[1:]) * (np.nan if apart else 1)
    most = bounds.HIGHEST - both[0]["lowest"].mean()
    lower, upper, *ends = np.clip((lower, upper, *ends), -most, most)
    kinds = np.array([table["kind"] == "confirmed" for table in both])
    fewest = min(map(len, cells))
    grid = np.stack([own[:fewest] for own in cells])
    inflation = inference.HELD_OUT if any(held_out(table).any() for table in both) else 1.0
    better = inference.improvement(grid[:tasks], grid[tasks:], inflation)
    error, freedom = inference.joined(variances, df)
    basis = tasks, int(kinds.all(axis=0).sum()), fewest, mean, float(error) / tasks, float(freedom)
    return (*basis, lower, upper, family, *ends, *better)


def held_out(cells: pd.DataFrame) -> pd.Series:
    """In which cells scores share the seeds by which they were chosen; of one assignment they are independent."""
    return (cells["kind"] == "held out") & (cells["n_assignments"] > 1)


def _chose_itself(cells: pd.DataFrame) -> bool:
    """Whether a method's scores that are compared are those by which it was ranked."""
    return bool(((cells["kind"] == "held out") & (cells["n_assignments"] == 1)).any())
