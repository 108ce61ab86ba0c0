"""Did the paper hold? Our cells within its deviations, macro by macro, and its conclusions, in sentences.

A cell is within the paper's deviation where |ours − theirs| ≤ std, all as printed; std is over the paper's five seeds.
In standard errors the difference is |ours − theirs| / √(se² + se²), each se that of a median over its seeds. Both are
results as they were selected: the paper has no others. Its conclusions are tested on fresh seeds
(:mod:`analysis.claims`). Were both searches draws of the same distributions, about SAME of the cells would lie within
one deviation and TWICE within two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis import style
from analysis.claims import check
from analysis.inference import IMPOSSIBLE, NOT_SHOWN, median_variance
from analysis.outcomes import FAILS, HOLDS, NUMBERS, NUMBERS_FAIL, OPEN
from analysis.published import SEEDS, match, published
from analysis.reports._section import DEFAULT, Options, heading, plural
from analysis.selection import assignments, best_assignments, mean
from analysis.tables import printed, rounded

CELLS = ("benchmark", "backbone", "paper_backbone", "method", "task", "ours", "std", "n_seeds", "paper", "paper_std",
         "difference", "errors")  # fmt: skip
MACROS = ("benchmark", "backbone", "method", "n_tasks", "ours", "paper", "difference")
#: Shares of cells within one and two published deviations where nothing differs but the seeds: five against five,
#: normal scores (benchmarks/_rates_paper.py).
SAME, TWICE = 0.75, 0.95


def cells(winners: pd.DataFrame) -> pd.DataFrame:
    """A row per cell that the paper has too, on a backbone of its own, from a ``best_assignments`` table.

    ``difference`` is ours minus theirs, in points; ``errors`` its size in combined standard errors, NaN where either
    has one seed.
    """
    scored = winners.dropna(subset="median")
    ours = scored.assign(
        key=scored["task"].map(style.plain),
        paper_backbone=[match(*pair) for pair in zip(scored["backbone"], scored["benchmark"], strict=True)],
    ).rename(columns={"median": "ours"})
    theirs = published()[0].rename(columns={"backbone": "paper_backbone", "median": "paper", "std": "paper_std"})
    theirs = theirs.assign(key=theirs["task"].map(style.plain)).drop(columns="task")
    table = ours.dropna(subset="paper_backbone").merge(theirs, on=["benchmark", "paper_backbone", "method", "key"])
    variance = median_variance(table["n_seeds"].to_numpy()) * table["std"] ** 2
    variance += float(median_variance(np.array(SEEDS))) * table["paper_std"] ** 2
    difference = table["ours"] - table["paper"]
    errors = difference.abs() / variance.pow(0.5).where(variance > 0)
    return table.assign(difference=difference, errors=errors)[list(CELLS)]


def macros(table: pd.DataFrame) -> pd.DataFrame:
    """A row per benchmark, backbone and method of a :func:`cells` table: macros over the tasks that both have."""
    rows = []
    for (benchmark, backbone, method), own in table.groupby(["benchmark", "backbone", "method"]):
        ours, theirs = mean(own["ours"].tolist()), mean(own["paper"].tolist())
        rows.append((benchmark, backbone, method, len(own), ours, theirs, float(rounded(ours) - rounded(theirs))))
    return pd.DataFrame(rows, columns=list(MACROS))


def verdict(frame: pd.DataFrame, options: Options = DEFAULT) -> list[str]:
    """Did the paper hold, in a few sentences for a first screen; none where no benchmark is the paper's."""
    if not set(frame["benchmark"]) & set(published()[0]["benchmark"]):
        return []
    every = assignments(frame)
    found = cells(best_assignments(every))
    return sentences(found, macros(found), check(frame, options))


def sentences(found: pd.DataFrame, totals: pd.DataFrame, claims: pd.DataFrame) -> list[str]:
    """The verdict from :func:`cells`, :func:`macros` and :func:`analysis.claims.check`."""
    if found.empty:
        return [
            "No backbone here is one of the paper's, so no number can be set against it; its conclusions are tested in "
            "direction only.",
            *_conclusions(claims),
        ]
    return [_within(found), *_total(totals), *_conclusions(claims)]


def _within(found: pd.DataFrame) -> str:
    """How many cells lie within one and two of the paper's deviations."""
    known = found.dropna(subset="paper_std")
    gap = pd.Series(
        [abs(float(rounded(a) - rounded(b))) for a, b in zip(known["ours"], known["paper"], strict=True)],
        index=known.index,
    )
    one, two = int((gap <= known["paper_std"]).sum()), int((gap <= 2 * known["paper_std"]).sum())
    lone = len(found) - len(known)
    parts = []
    if len(known):
        parts.append(
            f"Of {plural(len(known), 'cell')} with a published deviation, {one} ({_share(one, len(known))}) lie within "
            f"it and {two} within two; were nothing different but the seeds, about {100 * SAME:.0f} % and "
            f"{100 * TWICE:.0f} % would."
        )
    errors = known["errors"].dropna()
    if len(errors):
        parts.append(f"{int((errors <= 2).sum())} of {len(errors)} are within two combined standard errors.")
    if lone:
        largest = found.loc[found["paper_std"].isna(), "difference"].abs().max()
        parts.append(
            f"The paper gives no deviation for {plural(lone, 'cell')} (one seed); the largest difference there is "
            f"{printed(largest)} points."
        )
    return " ".join(parts)


def _total(totals: pd.DataFrame) -> list[str]:
    """The macros: how far they are apart, and the one that is farthest."""
    far = totals.loc[totals["difference"].abs().idxmax()]
    name = f"{style.method(far['method'])}, {heading(far['benchmark'], far['backbone'])}"
    if far["difference"] == 0:
        return [f"All {len(totals)} macro scores are the paper's, as printed."]
    typical = printed(totals["difference"].abs().median())
    return [
        f"Macro scores ({len(totals)}) differ by {typical} points in the median; farthest is {name}: "
        f"{printed(far['ours'])} for {printed(far['paper'])} ({printed(far['difference'], sign=True)})."
    ]


def _conclusions(claims: pd.DataFrame) -> list[str]:
    """How many of the paper's conclusions hold, and which do not."""
    by_claim = {name: summary(rows["verdict"].tolist()) for name, rows in claims.groupby("claim", sort=False)}
    statements = claims.drop_duplicates("claim").set_index("claim")["statement"]
    counts = {word: [name for name, own in by_claim.items() if own == word] for word in _SUMMARIES}
    told = ", ".join(f"{len(names)} {_SUMMARIES[word][len(names) > 1]}" for word, names in counts.items() if names)
    lines = [f"Of the paper's {len(by_claim)} conclusions that scores can test, {told}."]
    for word in (FAILS, NUMBERS_FAIL, MIXED):
        if counts[word]:
            lines.append(f"{word.capitalize()}: {' '.join(statements[name] for name in counts[word])}")
    return lines


MIXED = "differs by place"
_SUMMARIES = {
    HOLDS: ("holds wherever these runs can tell", "hold wherever these runs can tell"),
    NUMBERS: (
        "holds in the numbers, whose noise is partly unknown",
        "hold in the numbers, whose noise is partly unknown",
    ),
    FAILS: ("does not hold", "do not hold"),
    NUMBERS_FAIL: ("does not hold in the numbers", "do not hold in the numbers"),
    MIXED: ("holds in one place and not in another", "hold in one place and not in another"),
    NOT_SHOWN: ("is not shown either way", "are not shown either way"),
    IMPOSSIBLE: ("could not have been shown", "could not have been shown"),
}


def summary(verdicts: Sequence[str]) -> str:
    """One verdict for a conclusion from those of its places; what is open there decides nothing."""
    told = set(verdicts) - set(OPEN)
    if not told:
        return NOT_SHOWN if NOT_SHOWN in verdicts else IMPOSSIBLE
    if told <= {HOLDS, NUMBERS}:
        return NUMBERS if NUMBERS in told else HOLDS
    if told <= {FAILS, NUMBERS_FAIL}:
        return NUMBERS_FAIL if NUMBERS_FAIL in told else FAILS
    return MIXED


def _share(part: int, whole: int) -> str:
    return f"{math.floor(100 * part / whole)} %"
