"""Study files: how each mistake in them is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.families import save_tiny
from helpers.studies import OWN, VALID, changed, problems

from search.study import StudyError, load
from trainables import methods

AT_LEAST_1 = "greater than or equal to 1"
LORA = {"learning_rate": 1e-3}
RANDOM = {"strategy": "random", "n": 4}

#: (what is changed, path of the problem, its value, words of its rule, some of the known names)
MALFORMED = {
    "unknown section": ({"batchsize": 3}, "batchsize", 3, "unknown key", ("study", "methods", "protocol")),
    "section nearly right": ({"storag": "x"}, "storag", "x", "did you mean 'storage'", ("storage",)),
    "no tasks": ({"tasks": None}, "tasks", None, "is required", ()),
    "name with a space": ({"study": "my study"}, "study", "my study", "letters, digits", ()),
    "name is a number": ({"study": 12}, "study", 12, "letters, digits", ()),
    "backbones not a list": ({"backbones": "a/b"}, "backbones", "a/b", "must be a list", ()),
    "backbone is a number": ({"backbones": [3]}, "backbones[0]", 3, "hub id, a folder", ()),
    "backbone without source": ({"backbones": [{"name": "x"}]}, "backbones[0].source", None, "is required", ()),
    "backbone with unknown key": (
        {"backbones": [{"source": "FacebookAI/roberta-base", "nam": "x"}]},
        "backbones[0].nam", "x", "did you mean 'name'", ("source", "name", "revision"),
    ),
    "backbone twice": (
        {"backbones": ["FacebookAI/roberta-base"] * 2}, "backbones[1]", "FacebookAI/roberta-base", "named once", (),
    ),
    "backbones of one name": (
        {"backbones": ["FacebookAI/roberta-base", {"source": "roberta-large", "name": "roberta-base"}]},
        "backbones[1]", "roberta-large", "must not share the name 'roberta-base'", (),
    ),
    "package not installed": (
        {"backbones": ["package:no_such_package/model"]},
        "backbones[0]", "package:no_such_package/model", "pip install", (),
    ),
    "folder not there": ({"backbones": ["./gone"]}, "backbones[0]", "./gone", "no folder", ()),
    "unknown task": (
        {"tasks": ["glue/rtee"]}, "tasks[0]", "glue/rtee", "did you mean 'glue/rte'", ("glue/rte", "superglue/copa"),
    ),
    "pattern without a match": ({"tasks": ["glu/*"]}, "tasks[0]", "glu/*", "no task matches", ("glue/rte",)),
    "task twice": ({"tasks": ["demo/*", "demo/choice"]}, "tasks[1]", "demo/choice", "already tasks[0]", ()),
    "tasks empty": ({"tasks": []}, "tasks", [], "at least one task", ()),
    "task is a list": ({"tasks": [["demo/choice"]]}, "tasks[0]", ["demo/choice"], "name of a task", ()),
    "unknown method": (
        {"methods": {"lorra": LORA}}, "methods.lorra", LORA, "did you mean 'lora'", tuple(methods.names()),
    ),
    "methods a list": ({"methods": ["lora"]}, "methods", ["lora"], "must be a mapping of method", ()),
    "methods empty": ({"methods": {}}, "methods", {}, "at least one method", ("lora",)),
    "method is a number": ({"methods": {"lora": 8}}, "methods.lora", 8, "must be a mapping of hyperparameter", ()),
    "hyperparameter of another method": (
        {"methods": {"lora": {"prompt_length": 5}}},
        "methods.lora.prompt_length", 5, "method lora has no hyperparameter", ("rank", "alpha", "batch_size"),
    ),
    "value out of range": ({"methods": {"lora": {"rank": [2, -4]}}}, "methods.lora.rank[1]", -4, AT_LEAST_1, ()),
    "value of the wrong type": ({"methods": {"lora": {"rank": "8"}}}, "methods.lora.rank", "8", "valid integer", ()),
    "truth as a number": ({"methods": {"lora": {"rank": [True]}}}, "methods.lora.rank[0]", True, "valid integer", ()),
    "half a rank": ({"methods": {"lora": {"rank": 2.5}}}, "methods.lora.rank", 2.5, "integer", ()),
    "empty grid": ({"methods": {"lora": {"rank": []}}}, "methods.lora.rank", [], "at least one value", ()),
    "value twice": (
        {"methods": {"lora": {"rank": [2, 4, 2]}}}, "methods.lora.rank[2]", 2, "must differ, but [0]", (),
    ),
    "infinite rate": (
        {"methods": {"lora": {"learning_rate": float("inf")}}},
        "methods.lora.learning_rate", float("inf"), "finite", (),
    ),
    "rate of zero": (
        {"defaults": {"batch_size": 8, "learning_rate": [0]}}, "defaults.learning_rate[0]", 0, "greater than 0", (),
    ),
    "batch of zero": (
        {"defaults": {"batch_size": 0, "learning_rate": 0.1}}, "defaults.batch_size", 0, AT_LEAST_1, (),
    ),
    "unknown default": (
        {"defaults": {"batch_size": 8, "learning_rate": 0.1, "rank": 8}},
        "defaults.rank", 8, "unknown key", ("learning_rate", "batch_size"),
    ),
    "no learning rate": ({"defaults": {"batch_size": 8}}, "methods.bitfit.learning_rate", None, "no value", ()),
    "override of another task": (
        {"overrides": {"demo/entailment": {"epochs": 3}}},
        "overrides.demo/entailment", {"epochs": 3}, "must be a task of this study", ("demo/sentiment", "demo/choice"),
    ),
    "unknown override": (
        {"overrides": {"demo/choice": {"epoch": 3}}},
        "overrides.demo/choice.epoch", 3, "did you mean 'epochs'", ("epochs", "patience", "batch_size"),
    ),
    "override without epochs": (
        {"overrides": {"demo/choice": {"epochs": 0}}}, "overrides.demo/choice.epochs", 0, AT_LEAST_1, (),
    ),
    "override of an absent method": (
        {"overrides": {"demo/choice": {"methods": {"adapters": {"rank": 4}}}}},
        "overrides.demo/choice.methods.adapters", {"rank": 4}, "must be a method of this study", ("lora", "bitfit"),
    ),
    "override with a bad value": (
        {"overrides": {"demo/choice": {"methods": {"lora": {"rank": [4, 0]}}}}},
        "overrides.demo/choice.methods.lora.rank[1]", 0, AT_LEAST_1, (),
    ),
    "seed twice": ({"seeds": [1, 2, 1]}, "seeds[2]", 1, "seeds must differ", ()),
    "no seeds": ({"seeds": []}, "seeds", [], "at least one seed", ()),
    "seed below zero": ({"seeds": [-1]}, "seeds[0]", -1, "from 0", ()),
    "zero seeds": ({"seeds": 0}, "seeds", 0, "number from 1", ()),
    "seeds are true": ({"seeds": True}, "seeds", True, "list of seeds", ()),
    "unknown precision": (
        {"protocol": {"precision": "fp16"}}, "protocol.precision", "fp16", "'float32' or 'bfloat16'", (),
    ),
    "dropout of one": ({"protocol": {"dropout": 1.0}}, "protocol.dropout", 1.0, "less than 1", ()),
    "length too short": ({"protocol": {"max_length": 2}}, "protocol.max_length", 2, "greater than or equal to 8", ()),
    "length past the backbone": ({"protocol": {"max_length": 2000}}, "protocol.max_length", 2000, "at most 512", ()),
    "rows in words": ({"protocol": {"train_rows": "all"}}, "protocol.train_rows", "all", "valid integer", ()),
    "unknown protocol": (
        {"protocol": {"epoch": 3}},
        "protocol.epoch", 3, "did you mean 'epochs'", ("max_length", "precision", "dropout"),
    ),
    "unknown strategy": ({"search": {"strategy": "gird"}}, "search.strategy", "gird", "'grid', 'random' or 'tpe'", ()),
    "random without n": ({"search": {"strategy": "random"}}, "search.n", None, "is required", ()),
    "n in a grid search": ({"search": {"n": 5}}, "search.n", 5, "means nothing in a grid search", ()),
    "range in a grid search": (
        {"methods": {"lora": {"rank": {"low": 1, "high": 8}}}},
        "methods.lora.rank", {"low": 1, "high": 8}, "needs search.strategy: random", (),
    ),
    "range upside down": (
        {"methods": {"lora": {"rank": {"low": 9, "high": 8}}}, "search": RANDOM},
        "methods.lora.rank", {"low": 9, "high": 8}, "low must be smaller than high", (),
    ),
    "range without an end": (
        {"methods": {"lora": {"rank": {"low": 9}}}, "search": RANDOM},
        "methods.lora.rank.high", None, "is required", (),
    ),
    "log range from zero": (
        {"methods": {"lora": {"alpha": {"low": 0, "high": 8, "log": True}}}, "search": RANDOM},
        "methods.lora.alpha", {"low": 0, "high": 8, "log": True}, "greater than 0 where log", (),
    ),
    "range past the rule": (
        {"methods": {"lora": {"rank": {"low": 0, "high": 8}}}, "search": RANDOM},
        "methods.lora.rank.low", 0, AT_LEAST_1, (),
    ),
    "no processor": ({"resources": {"cpu": 0}}, "resources.cpu", 0, "greater than or equal to 0.0001", ()),
    "one and a half GPUs": ({"resources": {"gpu": 1.5}}, "resources.gpu", 1.5, "whole number", ()),
    "all GPUs": ({"resources": {"gpu": "all"}}, "resources.gpu", "all", "must be auto, or a number of GPUs", ()),
    "no number of GPUs": ({"resources": {"gpu": True}}, "resources.gpu", True, "must be auto, or a number", ()),
    "packs of a word": (
        {"resources": {"pack_tokens": "all"}}, "resources.pack_tokens", "all",
        "must be measured, or a number of tokens from 0 to 1,000,000,000", (),
    ),
    "less than no tokens": ({"resources": {"pack_tokens": -1}}, "resources.pack_tokens", -1, "must be measured", ()),
    "no number": ({"resources": {"pack_tokens": True}}, "resources.pack_tokens", True, "must be measured", ()),
    "tracking is a path": (
        {"tracking": "runs/mlflow"}, "tracking", "runs/mlflow", "MLflow URI", ("sqlite://", "http://"),
    ),
    "promotion without a further seed": (
        {"search": {"promote": 0.5}, "seeds": [0]}, "search.promote", 0.5, "needs two seeds at least", (),
    ),
    "early stopping switched off": (
        {"search": {"early_stopping": False}}, "search.early_stopping", False, "must be asha, median, or a mapping", (),
    ),
    "a factor that the median rule has not": (
        {"search": {"early_stopping": {"rule": "median", "reduction_factor": 2}}},
        "search.early_stopping", None, "must not have reduction_factor with rule: median", (),
    ),
    "storage is a number": ({"storage": 5}, "storage", 5, "must be text", ()),
    "data folder not there": ({"data_dir": "gone"}, "data_dir", "gone", "folder that exists", ()),
    "own task without data": (
        {"tasks": [{"name": "mine/a", "text": "s"}]}, "tasks[0]", ["name", "text"], "files or hub", (),
    ),
    "own task without dev": (
        {"tasks": [{**OWN, "files": {"train": "t.csv"}}]}, "tasks[0].files.dev", None, "is required", (),
    ),
    "own task, unknown key": (
        {"tasks": [{**OWN, "lable": "y"}]}, "tasks[0].lable", "y", "did you mean 'label'", ("label", "text"),
    ),
    "own task, unknown metric": (
        {"tasks": [{**OWN, "metric": "acc"}]}, "tasks[0].metric", "acc", "unknown metric", ("accuracy",),
    ),
    "own task, unknown kind": (
        {"tasks": [{**OWN, "kind": "ranking"}]}, "tasks[0].kind", "ranking", "'regression'", (),
    ),
    "own task, unknown side": (
        {"tasks": [{**OWN, "truncation": {"side": "middle"}}]},
        "tasks[0].truncation.side", "middle", "must be 'left' or 'right'", (),
    ),
    "own task, unknown segment": (
        {"tasks": [{**OWN, "truncation": {"segment": "third"}}]},
        "tasks[0].truncation.segment", "third", "must be 'longest', 'first' or 'second'", (),
    ),
    "own task, unknown key of truncation": (
        {"tasks": [{**OWN, "truncation": {"sid": "left"}}]},
        "tasks[0].truncation.sid", "left", "did you mean 'side'", ("side", "segment"),
    ),
    "own task, a segment of one": (
        {"tasks": [{**OWN, "truncation": {"segment": "first"}}]}, "tasks[0]", None, "tasks of two segments", (),
    ),
    "own task, three texts": (
        {"tasks": [{**OWN, "text": ["a", "b", "c"]}]}, "tasks[0].text", ["a", "b", "c"], "at most 2", (),
    ),
    "own task, built-in name": (
        {"tasks": [{**OWN, "name": "glue/rte"}]}, "tasks[0].name", "glue/rte", "built-in", (),
    ),
    "own task, files not there": ({"tasks": [OWN]}, "tasks[0]", None, "t.csv", ()),
    "factors too small": (
        {"methods": {"aot_kronecker": {"a": 2, "b": 3}}},
        "methods.aot_kronecker", {"a": 2, "b": 3}, "does not fit backbone roberta-base: a·b", (),
    ),
}  # fmt: skip


def test_a_backbone_without_a_tokenizer_is_refused_before_anything_starts(tmp_path: Path) -> None:
    folder = save_tiny("bert", tmp_path / "encoder", layers=1)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    found = problems(tmp_path, changed(backbones=["FacebookAI/roberta-base", "./encoder"]))
    assert list(found) == ["backbones[1]"]
    assert "needs the files of its tokenizer" in str(found["backbones[1]"])


@pytest.mark.parametrize("case", MALFORMED)
def test_a_mistake_is_told_with_path_value_rule_and_known_names(tmp_path: Path, case: str) -> None:
    sections, path, value, words, known = MALFORMED[case]
    found = problems(tmp_path, changed(**sections))
    assert path in found, list(found)
    text = str(found[path])
    assert text.startswith(path)
    assert words in text
    if value is not None:
        assert found[path].value == value
        assert f"{path} = " in text
    for name in known:
        assert name in found[path].known
        assert name in text


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
study: t
backbones: [FacebookAI/roberta-base]
tasks:
  - demo/sentimentt
  - demo/choice
methods:
  lora:
    rank: [2, 0]
    learning_rate: [1e-4, fast]
  bitfit: {rank: 3}
  loras: {}
defaults: {batch_size: []}
seeds: [1, 1]
protocol: {max_length: 1, precision: half}
"""
    found = problems(tmp_path, text)
    lines = {
        "tasks[0]": 4, "methods.lora.rank[1]": 8, "methods.lora.learning_rate[1]": 9, "methods.bitfit.rank": 10,
        "methods.bitfit.learning_rate": 10, "methods.loras": 11, "defaults.batch_size": 12, "seeds[1]": 13,
        "protocol.max_length": 14, "protocol.precision": 14,
    }  # fmt: skip
    assert {path: problem.line for path, problem in found.items()} == lines
    with pytest.raises(StudyError, match=r"10 problems\n  tasks\[0\] = 'demo/sentimentt' \(line 4\)"):
        load(tmp_path / "study.yaml")


def test_a_broken_value_is_not_also_a_missing_one(tmp_path: Path) -> None:
    found = problems(tmp_path, changed(defaults={"batch_size": 8, "learning_rate": "fast"}))
    assert list(found) == ["defaults.learning_rate"]


def test_a_broken_search_does_not_speak_for_the_ranges(tmp_path: Path) -> None:
    methods_ = {"lora": {"rank": {"low": 1, "high": 8}}}
    assert list(problems(tmp_path, changed(methods=methods_, search={"strategy": "rnd"}))) == ["search.strategy"]


def test_an_override_that_does_not_fit_is_told_where_it_stands(tmp_path: Path) -> None:
    overrides = {"demo/choice": {"max_length": 4000, "methods": {"aot_kronecker": {"a": 2}}}}
    found = problems(tmp_path, changed(overrides=overrides))
    assert set(found) == {"overrides.demo/choice.max_length", "overrides.demo/choice.methods.aot_kronecker"}


# --- YAML -------------------------------------------------------------------------------------------------------------


def test_a_key_written_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    found = problems(tmp_path, VALID + "seeds: 3\n")
    assert found["seeds"].line == 14
    assert "first in line 13" in found["seeds"].rule
    found = problems(tmp_path, VALID.replace("{rank: [2, 4],", "{rank: [2, 4], rank: 8,"))
    assert "written twice" in found["methods.lora.rank"].rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "must be a mapping"),
        ("just words\n", "must be a mapping"),
        ("study: [a\n", "not valid YAML"),
        ("study:\n\tname: x\n", "indented with spaces, never with tabs"),
        ("study: a\n---\nstudy: b\n", "not valid YAML"),
        ("study: !!python/object:os.system {}\n", "not valid YAML"),
        ("study: &a [*a]\n", "must not contain itself"),
        ("{[1, 2]: x}\n", "not valid YAML"),
        ("12: x\n", "must be text"),
    ],
)
def test_what_is_no_study_at_all(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in str(problem) for problem in problems(tmp_path, text).values())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no such file"):
        load(tmp_path / "gone.yaml")
    with pytest.raises(StudyError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"study: \xff\xfe")
    with pytest.raises(StudyError, match="must be UTF-8"):
        load(tmp_path / "bytes.yaml")
