"""Which points are measured, and what is refused before any is."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.speed import Point
from serving.speed_settings import Settings, points
from trainables import methods

PAPER = [(b, n) for b in (1, 16, 64) for n in (16, 64, 128, 384)]


def lines(found: list[Point], **only: object) -> set[tuple[str, str, int, str]]:
    kept = [p for p in found if all(getattr(p, name) == value for name, value in only.items())]
    return {(p.method, p.variant, p.tasks, p.rows) for p in kept}


def test_by_default_the_paper_s_points_of_every_method_and_no_point_twice() -> None:
    found = points(Settings())
    assert len(set(found)) == len(found)
    assert {point.backbone for point in found} == {"roberta-base", "roberta-large", "deberta-xl"}
    assert {point.method for point in found} == set(methods.names())
    for line in lines(found):
        own = [(p.batch, p.length) for p in found if (p.method, p.variant, p.tasks, p.rows) == line]
        assert own == 3 * PAPER
    assert [Settings().evaluations_at(batch) for batch in (1, 16, 64)] == [300, 100, 100]


def test_the_lines_of_each_kind_of_method() -> None:
    found = points(Settings(backbones=("roberta-base",), batches=(16,), lengths=(64,)))
    assert lines(found, method="aot_fc") == {
        *(("aot_fc", "fused", t, place) for t in (1, 8, 32) for place in ("host", "device", "factors")),
        *(("aot_fc", "unfused", t, "") for t in (1, 8, 32)),
    }
    assert lines(found, method="lora") == {
        ("lora", "fused", 1, ""), *(("lora", "unfused", t, "") for t in (1, 8, 32)),
    }  # fmt: skip
    assert lines(found, method="adapters") == {("adapters", "", t, "") for t in (1, 8, 32)}
    assert lines(found, method="fine_tuning") == {("fine_tuning", "", 1, "")}


def test_what_the_paper_measures_comes_first_and_a_line_s_sizes_together() -> None:
    found = points(Settings(backbones=("roberta-base", "roberta-large"), methods=("lora", "aot_fc")))
    own = [p for p in found if p.backbone == "roberta-base"]
    assert found[: len(own)] == own
    extra = [p.tasks > 1 or p.rows in ("device", "factors") for p in own]
    assert extra == sorted(extra)
    assert sum(not e for e in extra) == 4 * len(PAPER)
    assert [(p.batch, p.length) for p in own] == PAPER * (len(own) // len(PAPER))


def test_the_issue_s_command() -> None:
    found = points(Settings(("roberta-base",), (1, 16), (64, 384), ("aot_fc", "lora"), evaluations=50))
    assert {(p.batch, p.length) for p in found} == {(1, 64), (1, 384), (16, 64), (16, 384)}
    assert {p.method for p in found} == {"aot_fc", "lora"}
    assert len(found) == 4 * (12 + 4)


def test_a_quick_measurement_has_all_of_the_paper_s_points_and_samples_of_the_rest() -> None:
    found = points(Settings(quick=True))
    assert len(found) < 500
    for method, variant, rows in [("aot_fc", "fused", "host"), ("aot_fc", "unfused", ""), ("lora", "unfused", ""),
                                  ("lora", "fused", ""), ("adapters", "", ""), ("p_tuning_v1", "", ""),
                                  ("p_tuning_v2", "", "")]:  # fmt: skip
        own = [p for p in found if (p.method, p.variant, p.rows, p.tasks) == (method, variant, rows, 1)]
        assert [(p.batch, p.length) for p in own] == 3 * PAPER
    mixed = {(p.batch, p.length) for p in found if p.tasks == 32}
    assert mixed == {(16, 128)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": ("lorra",)}, "unknown method 'lorra'; known: adapters, aot_fc"),
        ({"batches": (1, 0)}, "--batch takes whole numbers of at least 1, but got 0"),
        ({"lengths": (-4,)}, "--length takes whole numbers"),
        ({"tasks": (0,)}, "--tasks takes whole numbers"),
        ({"rows": ("disk",)}, "--rows takes host, device, factors, but got 'disk'"),
        ({"batches": (1, 16, 1)}, "--batch names 1 twice"),
        ({"evaluations": 5}, "--evaluations must be at least 6, as fewer give no interval of 95 %, but got 5"),
        ({"device": "tpu"}, "--device takes auto, cpu, cuda, but got 'tpu'"),
        ({"precision": "int8"}, "--precision takes"),
        ({"cache_gb": 0.0}, "--cache-gb must be positive, but got 0"),
        ({"cache_gb": float("nan")}, "--cache-gb must be positive, but got nan"),
        ({"scratch": Path("/no/such")}, "--scratch must be a folder that exists"),
    ],
)
def test_what_breaks_a_rule_is_refused(given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**given)
