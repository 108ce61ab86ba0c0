"""With which method others are compared in studies that have not ended, and what is said of those that cannot be."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis import estimates, references, significance
from analysis.evidence import evidence
from analysis.planned import Plan
from analysis.reports import Options, comparison
from analysis.reports import significance as tests
from analysis.summary import findings
from analysis.tables import Table
from tests.analysis.test_estimates import study


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """LoRA, the best, has one seed as yet, and so has FC AoT; the others have five."""
    runs = study({"lora": (3, 3.0), "adapters": (3, 1.0), "bitfit": (3, 0.0), "aot_fc": (2, -1.0)})
    return runs[~runs["method"].isin(["lora", "aot_fc"]) | (runs["seed"] == 0)].reset_index(drop=True)


def text(frame: pd.DataFrame, against: str | None = None) -> str:
    section = comparison.render(comparison.compute(frame, Options(against=against)))
    assert section is not None
    return " ".join(block for block in section.blocks if isinstance(block, str))


def test_the_best_method_that_can_be_compared_stands_in_for_the_best(frame: pd.DataFrame) -> None:
    found = estimates.estimates(frame)
    assert references.reference(found.macros) == "lora"
    assert references.comparable(found.cells) == {("glue", "b"): frozenset({"adapters", "bitfit"})}
    table = estimates.differences(found)
    assert table[["reference", "method"]].to_numpy().tolist() == [["adapters", "bitfit"]]
    left = references.uncompared(found.cells, found.macros).set_index("method")
    assert left["is_reference"].to_dict() == {"aot_fc": False, "lora": True}
    assert set(left["reason"]) == {references.NO_SEED}
    told = text(frame)
    assert "LoRA has the highest macro in the results and cannot be compared: no seed of it took no part" in told
    assert "the others are compared with Adapters, the best that can be" in told
    assert "Not compared: FC AoT P-Tuning; no seed of them took no part in the choice." in told
    assert "Two search seeds or more would do, or aot run STUDY --confirm 5." in told
    assert "LoRA cannot be compared with the others" in findings(frame)[1].text


def test_tests_have_the_same_reference_and_say_so(frame: pd.DataFrame) -> None:
    compared = significance.comparisons(frame, evidence(frame))
    assert {(c.reference, c.method) for c in compared} == {("adapters", "bitfit")}
    section = tests.render(tests.compute(frame))
    assert section is not None
    titles = [block.title for block in section.blocks if isinstance(block, Table)]
    assert titles
    assert all("Adapters (the best that can be compared)" in title for title in titles)


def test_a_named_reference_without_fresh_seeds_is_told_with_what_is_needed(frame: pd.DataFrame) -> None:
    assert estimates.differences(estimates.estimates(frame), Plan("lora")).empty
    told = text(frame, "lora")
    assert "Nothing is compared with LoRA: no seed of it took no part in the choice." in told
    assert "aot run STUDY --confirm 5" in told
    assert "Not compared" not in told, "the others are not to blame"
    assert "LoRA cannot be compared with the others" in findings(frame, Options(against="lora"))[1].text
    assert "Not compared: LoRA; no seed" in text(frame, "bitfit:lora,adapters")


def test_a_named_reference_without_a_score_in_one_place_is_told_there(frame: pd.DataFrame) -> None:
    other = study({"bitfit": (3, 0.0), "adapters": (3, 0.0)}).assign(backbone="c")
    both = pd.concat([study({"lora": (3, 0.0), "bitfit": (3, 0.0)}), other], ignore_index=True)
    assert "GLUE · c: Nothing is compared with LoRA: it has no score there." in text(both, "lora")


def test_methods_without_a_common_task_are_not_compared() -> None:
    runs = study({"lora": (2, 2.0), "bitfit": (2, 0.0), "adapters": (2, 4.0)}, tasks=2)
    apart = (runs["method"] == "lora") == (runs["task"] == "glue/0")
    own = runs[apart].reset_index(drop=True)
    found = estimates.estimates(own)
    assert estimates.differences(found)[["reference", "method"]].to_numpy().tolist() == [["adapters", "bitfit"]]
    left = references.uncompared(found.cells, found.macros)
    assert left[["method", "reason"]].to_numpy().tolist() == [["lora", references.NO_TASK]]


def test_where_all_can_be_compared_nothing_is_said() -> None:
    runs = study({"lora": (3, 3.0), "bitfit": (3, 0.0)})
    found = estimates.estimates(runs)
    assert references.uncompared(found.cells, found.macros).empty
    once = estimates.estimates(study({"lora": (3, 3.0), "bitfit": (3, 0.0)}, seeds=1))
    assert references.uncompared(once.cells, once.macros).empty, "nobody named one, and no method can be compared"
