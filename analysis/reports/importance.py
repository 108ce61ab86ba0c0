"""Which hyperparameters decide: Optuna's importances, per method as a mean over tasks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis import style
from analysis.frame import HYPERPARAMETER, hyperparameters
from analysis.reports._section import DEFAULT, Options, Section, groups, heading, slug
from analysis.selection import CELL, assignments
from analysis.tables import EMPTY, Cell, Table, printed
from common.seeds import seed_of

if TYPE_CHECKING:
    import optuna

TITLE = "Importance of hyperparameters"
POSITION = 250
LEAST = 8  # assignments with a score in a cell
QUARTER = 0.25
SHUFFLES = 3
MANY = 12  # values of a grid; a hyperparameter with more was drawn from a range
COLUMNS = [*CELL, "hyperparameter", "importance", "by_chance", "n_assignments"]
_INTRO = (
    "How much each hyperparameter decides whether an assignment is in the best quarter of its cell (PED-ANOVA, "
    "Watanabe et al. 2023, as Optuna computes it): shares of 100 % within a method, mean over its tasks. Shares add up "
    "even where nothing matters, so each has beside it, in parentheses, what the same cells give when their scores are "
    "shuffled. A share near that number says nothing; bold are those whose 95 % interval over tasks (Student's t, each "
    "for itself) lies above it."
)


def compute(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """``COLUMNS``: a row per cell and hyperparameter that varies in it; shares of 0 to 1, as they are and by chance.

    Of cells with ``LEAST`` assignments that have a score, and two hyperparameters or more that vary.
    """
    table = assignments(frame).dropna(subset="median")
    rows = [row for cell, own in table.groupby(CELL) if len(own) >= LEAST for row in _of_cell(cell, own)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_cell(cell: tuple[str, ...], table: pd.DataFrame) -> Iterator[tuple]:
    values = varying(table)
    if len(values) < 2:
        return
    generator = np.random.default_rng(seed_of("|".join(("importance", *cell))))
    medians = table["median"].to_numpy()
    shuffled = [generator.permutation(medians) for _ in range(SHUFFLES)]
    found, *chance = _importances(values, [medians, *shuffled])
    for name in values:
        by_chance = float(np.mean([share[name] for share in chance]))
        yield (*cell, name.removeprefix(HYPERPARAMETER), found[name], by_chance, len(table))


def varying(table: pd.DataFrame) -> dict[str, list]:
    """The hyperparameters that every assignment of a cell has and that differ between them, with their values."""
    return {name: table[name].tolist() for name in hyperparameters(table)
            if table[name].notna().all() and table[name].nunique() > 1}  # fmt: skip


def _importances(values: dict[str, list], scores: list[np.ndarray]) -> list[dict[str, float]]:
    """The share of every hyperparameter by each list of scores; all alike where none tells anything apart."""
    import optuna  # here alone: a report without this section starts without it

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few trials above the quantile: said in LEAST, and by chance
            return _by_optuna(values, scores)
    finally:
        optuna.logging.set_verbosity(before)


def _by_optuna(values: dict[str, list], scores: list[np.ndarray]) -> list[dict[str, float]]:
    import optuna

    study = optuna_study(values)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=QUARTER)
    shares = []
    for each in scores:
        losses = dict(enumerate((-each).tolist()))  # a target is minimized
        found = evaluator.evaluate(study, target=partial(_of_trial, losses))
        total = sum(found.values())
        shares.append({name: float(found[name]) / total if total > 0 else 1 / len(values) for name in values})
    return shares


def optuna_study(values: dict[str, list]) -> optuna.Study:
    """One trial per assignment, in their order, all with the value 0."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

    kinds: dict[str, BaseDistribution] = {}
    for name, own in values.items():
        distinct = sorted(set(own))
        drawn = len(distinct) > MANY and not isinstance(distinct[0], (str, bool))
        least, most = distinct[0], distinct[-1]
        log = drawn and least > 0 and most / least >= 10
        kinds[name] = FloatDistribution(least, most, log=log) if drawn else CategoricalDistribution(distinct)
    study = optuna.create_study(direction="maximize")
    rows = zip(*values.values(), strict=True)
    study.add_trials([
        optuna.trial.create_trial(params=dict(zip(values, row, strict=True)), distributions=kinds, value=0.0)
        for row in rows
    ])  # fmt: skip
    return study


def _of_trial(losses: dict[int, float], trial: Any) -> float:
    return losses[trial.number]


def exports(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``importance.csv``."""
    return {"importance": data}


def render(data: pd.DataFrame) -> Section | None:
    """A table per benchmark and backbone: methods by hyperparameters; ``None`` where no cell has enough."""
    blocks = tuple(_table(*group) for group in groups(data))
    return Section(TITLE, _INTRO, blocks) if blocks else None


def means(data: pd.DataFrame) -> pd.DataFrame:
    """Per benchmark, backbone, method and hyperparameter: ``importance`` and ``by_chance``, means over tasks; ``sure``:
    a 95 % t interval over tasks of their difference lies above 0.
    """
    keys = ["benchmark", "backbone", "method", "hyperparameter"]
    table = data.groupby(keys).agg(importance=("importance", "mean"), by_chance=("by_chance", "mean"))
    excess = (data["importance"] - data["by_chance"]).groupby([data[key] for key in keys])
    n = excess.size()
    half = stats.t.ppf(0.975, np.maximum(n - 1, 1)) * excess.std() / np.sqrt(n)  # NaN of one task: not sure
    return table.assign(sure=excess.mean() > half)


def _table(benchmark: str, backbone: str, rows: pd.DataFrame) -> Table:
    table = means(rows).droplevel(["benchmark", "backbone"])
    found = {
        key: (row.importance, row.by_chance, bool(row.sure))
        for key, row in zip(table.index, table.itertuples(), strict=True)
    }
    tasks = rows.groupby("method")["task"].nunique()
    least = rows.groupby("method")["n_assignments"].min()
    names = table.groupby("hyperparameter")["importance"].mean().sort_values(ascending=False, kind="stable").index
    body = []
    for method in style.methods(rows["method"]):
        cells = []
        for name in names:
            share, chance, sure = found.get((method, name), (None, None, False))
            text = EMPTY if share is None else f"{printed(100 * share, 0)} ({printed(100 * chance, 0)})"
            cells.append(Cell(text, "best" if sure else ""))
        body.append((Cell(style.method(method)), *cells, Cell(f"{tasks[method]}"), Cell(f"{least[method]}")))
    columns = ("Method", *(name.replace("_", " ").capitalize() for name in names), "Tasks", "Assignments, at least")
    title = f"{heading(benchmark, backbone)}: importance of hyperparameters in percent (by chance)"
    return Table(slug("importance", benchmark, backbone), title, columns, tuple(body), place=(benchmark, backbone))
