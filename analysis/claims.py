"""What the paper concludes from its tables and figures, and whether it holds in a frame.

Each conclusion is a sentence in our words, its section there, where it is about, and a test. Those that are about one
of the paper's backbones are tested on that one alone; the others on every backbone of ours, also on one that the paper
has not, where they can hold in direction only. Conclusions about speed and about trained weights are not tested here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import style
from analysis.evp import expected_best
from analysis.outcomes import Macro, Outcome, above, all_of, at_least, mostly, on_par, unknown
from analysis.places import FC, V2, Place, places
from analysis.reports._section import DEFAULT, Options, heading
from analysis.selection import APART

KRONECKER, V1 = "aot_kronecker", "p_tuning_v1"
LORA, ADAPTERS, BITFIT = "lora", "adapters", "bitfit"
BASE, LARGE, XL = "roberta-base", "roberta-large", "deberta-xl"
#: Points that we read into "by a large margin", and assignments into "less than 100".
FAR, FEW = 3.0, 99
_LEAST = 5  # assignments of a cell from which an expected best says something
COLUMNS = ("claim", "section", "statement", "benchmark", "backbone", "matched", "verdict", "reason")


@dataclass(frozen=True)
class Claim:
    """A conclusion. ``at``: the benchmark and backbone that it is about; empty: every one of ours.

    ``needs``: methods without which nothing can be said.
    """

    name: str
    section: str
    statement: str
    needs: tuple[str, ...]
    test: Callable[[Place], Outcome]
    at: tuple[str, str] | tuple[()] = ()


def _fc_on_par(place: Place) -> Outcome:
    return at_least(place.macro(FC), place.macro(V2), place.margin)


def _v1_far(place: Place) -> Outcome:
    others = [name for name in sorted(set(place.winners["method"]) - {V1, APART}) if name in style.METHODS]
    compared = [above(place.macro(name), place.macro(V1), FAR) for name in others if place.has(name)]
    return all_of(compared) if compared else unknown("no other method has every task")


def _bitfit(place: Place) -> Outcome:
    if place.paper == BASE:
        return on_par(place.macro(FC), place.macro(BITFIT), place.margin)
    return above(place.macro(FC), place.macro(BITFIT))


def _adapters_first(place: Place) -> Outcome:
    return all_of([above(place.macro(ADAPTERS), place.macro(name)) for name in (V1, V2, KRONECKER, FC)])


def _marginally(place: Place) -> Outcome:
    prompts = V1, V2, KRONECKER, FC
    best, both = place.best(*prompts), [place.macro(name) for name in (LORA, ADAPTERS)]
    higher = [above(one, place.macro(name)) for one in both for name in prompts]
    return all_of([*higher, *(on_par(one, best, place.margin) for one in both)])


def _short_prompts(place: Place) -> Outcome:
    prompts, fc = place.by_size(V2), place.macro(FC)
    if len(prompts) < 2:
        return unknown("p is not in these runs, or not two of them on every task")
    return all_of([above(prompts[-1], prompts[0]), above(fc, prompts[0]), at_least(prompts[-1], fc, place.margin)])


def _step_by_step(place: Place, holds: Callable[[Macro, Macro], Outcome]) -> Outcome:
    prompts, ranks = place.by_size(V2), place.by_size(FC)
    if len(prompts) != len(ranks) or not prompts:
        return unknown("p and r are not in these runs, or not as many of each on every task")
    return all_of([holds(fc, v2) for fc, v2 in zip(ranks, prompts, strict=True)])


def _few_assignments(place: Place) -> Outcome:
    """The expected best of FEW assignments of FC against as many of P-Tuning v2, task by task."""
    wins = trials = 0
    for task in sorted(place.tasks):
        cells = [place.every[(place.every["task"] == task) & (place.every["method"] == name)] for name in (FC, V2)]
        values = [cell["median"].dropna().to_numpy(float) for cell in cells]
        if min(map(len, values)) < _LEAST or not all(map(_is_whole_search, cells)):
            continue
        n = np.array([min(FEW, *map(len, values))])  # as many of both
        fc, v2 = (expected_best(v, "u", n)[0] for v in values)
        wins, trials = wins + bool(fc > v2), trials + bool(fc != v2)
    if not trials:
        return unknown(f"no task has {_LEAST} assignments of both that are a whole search")
    return mostly(wins, trials, f"tasks where FC AoT's best of {FEW} (of all, where fewer) is the higher:")


def _is_whole_search(cell: pd.DataFrame) -> bool:
    """Whether the assignments of a cell are all that it was to try, none by the scores of others."""
    planned, ended = cell["planned_in_cell"].max(), cell["n_trials"].sum()
    adaptive = cell["n_pruned"].any() or cell["promoted"].any() or cell["proposed"].any()
    return not adaptive and (pd.isna(planned) or ended >= planned)


CLAIMS = (
    Claim("fc_above_kronecker", "4.2", "FC AoT P-Tuning scores above Kronecker AoT P-Tuning.", (FC, KRONECKER),
          lambda place: above(place.macro(FC), place.macro(KRONECKER))),
    Claim("fc_on_par", "5", "FC AoT P-Tuning is on par with P-Tuning v2, or better.", (FC, V2), _fc_on_par),
    Claim("fc_equals_v2_base", "4.2", "With RoBERTa-Base, FC AoT P-Tuning has the macro of P-Tuning v2.", (FC, V2),
          lambda place: on_par(place.macro(FC), place.macro(V2), place.margin), ("glue", BASE)),
    Claim("fc_above_v2_large", "4.2", "With RoBERTa-Large, FC AoT P-Tuning outperforms P-Tuning v2 on GLUE.", (FC, V2),
          lambda place: above(place.macro(FC), place.macro(V2)), ("glue", LARGE)),
    Claim("fc_equals_fine_tuning", "4.2", "With RoBERTa-Large, FC AoT P-Tuning has fine-tuning's macro on GLUE.",
          (FC, APART), lambda place: on_par(place.macro(FC), place.macro(APART), place.margin), ("glue", LARGE)),
    Claim("fc_equals_v2_xl", "4.2", "With DeBERTa-XL, FC AoT P-Tuning is on par with P-Tuning v2.", (FC, V2),
          lambda place: on_par(place.macro(FC), place.macro(V2), place.margin), ("superglue", XL)),
    Claim("v1_far_below", "4.2", f"P-Tuning v1 stays far below every other method (here: {FAR:g} points).", (V1,),
          _v1_far),
    Claim("bitfit_below_fc", "4.2", "BitFit is below FC AoT P-Tuning, and on par with it on RoBERTa-Base.",
          (FC, BITFIT), _bitfit),
    Claim("adapters_above_large", "4.2", "With RoBERTa-Large, Adapters are above every P-Tuning method on SuperGLUE.",
          (ADAPTERS, V1, V2, KRONECKER, FC), _adapters_first, ("superglue", LARGE)),
    Claim("lora_adapters_xl", "4.2", "With DeBERTa-XL, LoRA and Adapters are above the P-Tuning methods, by little.",
          (LORA, ADAPTERS, V1, V2, KRONECKER, FC), _marginally, ("superglue", XL)),
    Claim("short_prompts", "4.2, Figure 3", "With RoBERTa-Base, P-Tuning v2 is worse at short prompts, and at long "
          "ones no worse than FC AoT P-Tuning.", (FC, V2), _short_prompts, ("glue", BASE)),
    Claim("above_at_all_sizes", "4.2, Figure 3", "With RoBERTa-Large, FC AoT P-Tuning is above P-Tuning v2 on GLUE at "
          "each step of r and p.", (FC, V2), lambda place: _step_by_step(place, above), ("glue", LARGE)),
    Claim("on_par_at_all_sizes", "4.2, Figure 3", "With DeBERTa-XL, FC AoT P-Tuning and P-Tuning v2 are on par at each "
          "step of r and p.", (FC, V2),
          lambda place: _step_by_step(place, lambda one, other: on_par(one, other, place.margin)), ("superglue", XL)),
    Claim("few_assignments", "4.2, Figures 6 and 8", "Fewer than 100 assignments are mostly enough for FC AoT P-Tuning "
          "to be ahead of P-Tuning v2.", (FC, V2), _few_assignments),
)  # fmt: skip


def check(frame: pd.DataFrame, options: Options = DEFAULT) -> pd.DataFrame:
    """A row per conclusion and place where it was or could have been tested, with ``COLUMNS``.

    ``matched``: whether the backbone is the paper's. Two conclusions are over several places: those of deviations, and
    of the gap that shrinks as the backbone grows.
    """
    found = places(frame, options)
    rows = [row for claim in CLAIMS for row in _rows(claim, found)]
    rows += [_deviations(found), *_shrinking(found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(claim: Claim, places: list[Place]) -> list[dict]:
    if not claim.at:
        return [_row(claim, place, _tested(claim, place)) for place in places]
    benchmark, backbone = claim.at
    own = [place for place in places if (place.benchmark, place.paper) == claim.at]
    if own:
        return [_row(claim, place, _tested(claim, place)) for place in own]
    outcome = unknown(f"{heading(benchmark, backbone)} was not run")
    return [_told(claim.name, claim.section, claim.statement, benchmark, backbone, False, outcome)]


def _tested(claim: Claim, place: Place) -> Outcome:
    missing = [style.method(name) for name in claim.needs if not place.has(name)]
    if missing:
        return unknown(f"no score on every task of {', '.join(missing)}")
    return claim.test(place)


def _row(claim: Claim, place: Place, outcome: Outcome) -> dict:
    names = (claim.name, claim.section, claim.statement)
    return _told(*names, place.benchmark, place.backbone, bool(place.paper), outcome)


def _told(
    name: str, section: str, statement: str, benchmark: str, backbone: str, matched: bool, outcome: Outcome
) -> dict:
    values = (name, section, statement, benchmark, backbone, matched, outcome.verdict, outcome.reason)
    return dict(zip(COLUMNS, values, strict=True))


def _deviations(places: list[Place]) -> dict:
    """Over all places together: on how many tasks AoT's deviation over seeds is the smaller one, ties apart."""
    pairs = [(aot, other) for aot in (FC, KRONECKER) for other in (V1, V2)]
    outcomes = []
    for aot, other in pairs:
        wins = trials = 0
        for place in places:
            table = place.winners[place.winners["n_seeds"] > 1].set_index(["method", "task"])["std"]
            both = pd.concat([table.get(name, pd.Series(dtype=float)) for name in (aot, other)], axis=1, join="inner")
            gaps = both.iloc[:, 0] - both.iloc[:, 1]
            wins, trials = wins + int((gaps < 0).sum()), trials + int((gaps != 0).sum())
        what = f"{style.method(aot)} varies less than {style.method(other)} on"
        outcomes.append(mostly(wins, trials, what))
    statement = "Both AoT P-Tuning methods mostly vary less over seeds than P-Tuning v1 and v2."
    matched = any(place.paper for place in places)
    return _told("smaller_deviations", "4.2", statement, "", "", matched, all_of(outcomes))


def _shrinking(places: list[Place]) -> list[dict]:
    """Per benchmark: the lead of Adapters and LoRA over FC AoT from the smallest backbone to the largest."""
    name, statement = "gap_shrinks", "The lead of Adapters and LoRA over FC AoT P-Tuning becomes little as models grow."
    rows = []
    for benchmark in sorted({place.benchmark for place in places}):
        own = [place for place in places if place.benchmark == benchmark and place.has(FC, ADAPTERS, LORA)]
        own.sort(key=_model_size)
        if len(own) < 2:
            outcome = unknown("two backbones with FC AoT, Adapters and LoRA are needed")
        else:
            outcome = _shrinks(own[0], own[-1])
        matched = len(own) > 1 and all(place.paper for place in own)
        rows.append(_told(name, "4.2", statement, benchmark, "", matched, outcome))
    return rows


def _model_size(place: Place) -> float:
    """Parameters of the backbone, as fine-tuning trains them, else the place of its name in the house's order."""
    tuned = place.winners.loc[place.winners["method"] == APART, "trainable_parameters"].dropna()
    return (
        float(tuned.max()) if len(tuned) else float(list(style.BACKBONES).index(place.paper)) if place.paper else np.inf
    )


def _shrinks(small: Place, large: Place) -> Outcome:
    """The larger model's lead is below the smaller one's, and not above the margin."""
    better = [place.best(ADAPTERS, LORA) for place in (small, large)]
    leads = []
    for place, one in zip((small, large), better, strict=True):
        fc = place.macro(FC)
        parts = (*one.parts, *fc.parts) if one.parts and fc.parts else ()
        leads.append(Macro(f"lead with {style.backbone(place.backbone)}", one.value - fc.value, parts))
    return all_of([above(leads[0], leads[1]), at_least(large.macro(FC), better[1], large.margin)])
