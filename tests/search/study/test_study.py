"""Study files: what they may say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import paper
from helpers.families import save_tiny
from helpers.studies import OWN, VALID, changed, problems, write

from search.study import Range, load
from trainables import methods

# --- a valid study ----------------------------------------------------------------------------------------------------


def test_a_valid_study_is_read_whole(tmp_path: Path) -> None:
    study = load(write(tmp_path, VALID))
    assert study.name == "trial_run"
    assert [b.name for b in study.backbones] == ["roberta-base"]
    assert [t.name for t in study.tasks] == ["demo/sentiment", "demo/choice"]
    assert study.methods["lora"] == {"rank": (2, 4), "learning_rate": (1e-4, 5e-4)}
    assert study.methods["bitfit"] == {}
    assert study.seeds == (0, 1)
    assert study.folder == f"{study.storage}/trial_run"
    assert study.tracking == f"sqlite:///{study.storage}/mlflow.db"
    assert Path(study.storage) == Path("runs").absolute()


def test_a_study_does_not_change(tmp_path: Path) -> None:
    study = load(write(tmp_path, VALID))
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"


def test_the_more_specific_grid_wins(tmp_path: Path) -> None:
    overrides = {"demo/choice": {"learning_rate": [1e-2], "methods": {"lora": {"rank": 8, "learning_rate": [2e-2]}}}}
    study = load(write(tmp_path, changed(overrides=overrides)))
    assert study.grids("demo/sentiment", "bitfit") == {"batch_size": (16, 64), "learning_rate": (1e-3,)}  # defaults
    assert study.grids("demo/sentiment", "lora")["learning_rate"] == (1e-4, 5e-4)  # the method over the defaults
    assert study.grids("demo/choice", "aot_kronecker")["learning_rate"] == (1e-2,)  # the task over the method
    assert study.grids("demo/choice", "lora") == {"batch_size": (16, 64), "rank": (8,), "learning_rate": (2e-2,)}


def test_the_protocol_of_a_task_comes_from_its_override_then_the_study_then_the_task(tmp_path: Path) -> None:
    study = load(write(tmp_path, changed(protocol={"patience": 2, "train_rows": 50, "max_length": 32})))
    sentiment, choice = (study.protocol_for(task) for task in study.tasks)
    assert (sentiment.epochs, sentiment.patience) == (study.tasks[0].epochs, 2)
    assert (choice.epochs, choice.patience) == (7, 2)
    assert (choice.train_rows, choice.dev_rows, choice.max_length, choice.precision) == (50, None, 32, "float32")


@pytest.mark.parametrize(("seeds", "expected"), [(3, (0, 1, 2)), ([7], (7,)), ([5, 1], (5, 1))])
def test_seeds_are_a_list_or_their_number(tmp_path: Path, seeds: object, expected: tuple[int, ...]) -> None:
    assert load(write(tmp_path, changed(seeds=seeds))).seeds == expected


def test_a_pattern_stands_for_all_its_tasks(tmp_path: Path) -> None:
    study = load(write(tmp_path, changed(tasks=["glue/*", "superglue/w?[cC]"], overrides=None)), bind=False)
    assert len(study.tasks) == 10
    assert {t.benchmark for t in study.tasks} == {"glue", "superglue"}


def test_numbers_may_be_written_as_everybody_writes_them(tmp_path: Path) -> None:
    text = VALID.replace("[1e-4, 5e-4]", "[1e-4, 1E-3, 5.e-3, .01, 2.0e-2, 0.5e-01]")
    assert load(write(tmp_path, text)).methods["lora"]["learning_rate"] == (1e-4, 1e-3, 5e-3, 0.01, 0.02, 0.05)


def test_words_are_not_taken_for_something_else(tmp_path: Path) -> None:
    own = "{name: a, files: {train: t.csv, dev: d.csv}, text: s, labels: [no, yes, on, 1:30, 2024-01-01, 010]}"
    study = load(write(tmp_path, VALID.replace("[demo/sentiment,", f"[{own}, demo/sentiment,")), bind=False)
    assert study.tasks[0].labels == ("no", "yes", "on", "1:30", "2024-01-01", "010")


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = VALID.replace("  bitfit:\n", "  bitfit: &slow {learning_rate: 1e-5}\n  adapters: {<<: *slow, rank: 8}\n")
    assert load(write(tmp_path, text)).methods["adapters"] == {"learning_rate": (1e-5,), "rank": (8,)}


def test_a_random_search_may_have_ranges(tmp_path: Path) -> None:
    rates = {"low": 1e-5, "high": 1e-2, "log": True}
    lora = {"learning_rate": rates, "rank": {"low": 1, "high": 64}, "alpha": [8, 16]}
    study = load(write(tmp_path, changed(methods={"lora": lora}, search={"strategy": "random", "n": 5, "seed": 3})))
    rate, rank = study.methods["lora"]["learning_rate"], study.methods["lora"]["rank"]
    assert isinstance(rate, Range)
    assert (rate.log, rate.whole) == (True, False)
    assert isinstance(rank, Range)
    assert rank.whole


def test_paths_start_at_the_study_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    own = {"name": "mine/a", "files": {"train": "data/t.csv", "dev": "data/d.csv"}, "text": ["s"], "labels": ["x", "y"]}
    study = load(write(tmp_path, changed(tasks=[own], data_dir="data", overrides=None)), bind=False)
    assert study.data_dir == str((tmp_path / "data").resolve())
    assert study.tasks[0].source.train == (str((tmp_path / "data" / "t.csv").resolve()),)


def test_own_tasks_are_bound_to_their_files(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text("s,label\ngood,pos\nbad,neg\n")
    own = {"name": "mine/a", "files": {"train": "train.csv", "dev": "dev.csv"}, "text": "s"}
    own |= {"metric": "matthews", "epochs": 3}
    (task,) = load(write(tmp_path, changed(tasks=[own], overrides=None))).tasks
    assert (task.name, task.labels, task.metric, task.epochs) == ("mine/a", ("neg", "pos"), "matthews", 3)


def test_a_backbone_may_be_a_mapping(tmp_path: Path) -> None:
    backbones = [{"source": "FacebookAI/roberta-base", "name": "one", "revision": "abc"}, "FacebookAI/roberta-base"]
    first, second = load(write(tmp_path, changed(backbones=backbones)), bind=False).backbones
    assert (first.name, first.revision, second.name) == ("one", "abc", "roberta-base")


def test_the_same_weights_are_one_backbone_whatever_they_are_called(tmp_path: Path) -> None:
    for name in ("first", "copy"):
        save_tiny("roberta", tmp_path / name)
    save_tiny("roberta", tmp_path / "other", seed=1)
    grids = {"methods": {"bitfit": None}, "overrides": None}
    (problem,) = problems(tmp_path, changed(backbones=["first", "other", "copy"], **grids)).values()
    assert problem.path == "backbones[2]"
    assert "the same weights and tokenizer as backbone 'first'" in problem.rule


def test_results_can_be_read_where_backbone_and_data_are_not(tmp_path: Path) -> None:
    text = changed(backbones=["./gone"], tasks=[OWN], overrides=None)
    assert load(write(tmp_path, text), bind=False).name == "trial_run"
    assert {"backbones[0]", "tasks[0]"} <= set(problems(tmp_path, text))


# --- the documentation ------------------------------------------------------------------------------------------------

DOCS = (Path(__file__).parents[3] / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_documentation_names_every_key() -> None:
    from common.metrics import METRICS
    from search.study._load import SECTIONS
    from search.study._model import Override, ProtocolSettings, Resources, Search
    from search.study._tasks import HubEntry, TaskEntry

    names = {*SECTIONS, *paper.METHODS, *METRICS}
    for model in (Override, ProtocolSettings, Resources, Search, TaskEntry, HubEntry):
        names |= set(model.model_fields)
    for method in paper.METHODS:
        names |= set(methods.get(method).Config.model_fields)
    named = {word for code in re.findall(r"`([^`\n]+)`", DOCS) for word in re.findall(r"\w+", code)}
    assert names - named == set()


def test_the_examples_of_the_documentation_are_valid(tmp_path: Path) -> None:
    whole, tasks, search = [part.split("```")[0] for part in DOCS.split("```yaml\n")[1:]]
    study = load(write(tmp_path, whole), bind=False)
    assert [task.name for task in study.tasks] == ["glue/rte", "glue/mrpc", "mine/reviews"]
    frame = "study: s\nbackbones: [a/b]\ndefaults: {batch_size: 8, learning_rate: 1e-3}\n"
    own = load(write(tmp_path, frame + "methods: {bitfit: {}}\n" + tasks), bind=False).tasks
    assert [(task.kind, task.metric) for task in own] == [
        ("classification", "accuracy_f1"), ("regression", "pearson_spearman"), ("multiple_choice", "accuracy"),
    ]  # fmt: skip
    assert load(write(tmp_path, frame + "tasks: [glue/rte]\n" + search), bind=False).search.n == 40


def test_readmes_task_of_ones_own_is_valid(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (tasks,) = [block.split("```")[0] for block in readme.split("```yaml\n")[1:] if "mine/reviews" in block]
    (tmp_path / "data").mkdir()
    for split in ("train", "dev"):
        rows = "title,body,stars\nfine,all of it,5\nbad,none of it,1\n"
        (tmp_path / "data" / f"{split}.csv").write_text(rows, encoding="utf-8")
    text = changed(tasks=None, overrides=None) + tasks
    (task,) = load(write(tmp_path, text)).tasks
    assert (task.name, task.labels, len(task.text), task.metric) == ("mine/reviews", ("1", "5"), 2, "accuracy")
