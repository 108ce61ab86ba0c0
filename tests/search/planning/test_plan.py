"""Plans: what is to be done, in which packs, and under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import paper
from helpers.records import ended

from search.planning.plan import Plan, plan, sizes
from search.strategy.study_search import StudySearch
from search.study import Study, load
from trainables import backbones
from trainables import trial as trial_module
from trainables.pack_sizes import Device, Knee, PackSizes

STUDIES = Path(__file__).parents[3] / "studies"
PAPER = sorted(p.stem for p in STUDIES.glob("*roberta*.yaml")) + sorted(p.stem for p in STUDIES.glob("*deberta*.yaml"))


def study(folder: Path, *, offline: bool = False, **sections: Any) -> Study:
    data = {
        "study": "s",
        "backbones": ["FacebookAI/roberta-base"],
        "tasks": ["demo/sentiment", "demo/choice"],
        "methods": {"lora": {"rank": [2, 4]}, "fine_tuning": {}},
        "defaults": {"batch_size": [8, 16], "learning_rate": [1e-4, 1e-3]},
        "seeds": 3,
        **sections,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return load(path, offline=offline)


def ids(planned: Plan) -> list[str]:
    return [trial.id for trial in planned.trials]


def pending(planned: Plan) -> set[str]:
    return {trial.id for pack in planned.packs for trial in pack.trials}


def test_the_cells_are_all_combinations_in_the_order_of_the_file(tmp_path: Path) -> None:
    planned = plan(study(tmp_path))
    cells = [(c.key.backbone, c.key.task, c.key.method, c.assignments, len(c.trials)) for c in planned.cells]
    assert cells == [
        ("roberta-base", "demo/sentiment", "lora", 8, 24),
        ("roberta-base", "demo/sentiment", "fine_tuning", 4, 12),
        ("roberta-base", "demo/choice", "lora", 8, 24),
        ("roberta-base", "demo/choice", "fine_tuning", 4, 12),
    ]
    assert len(set(ids(planned))) == 72
    assert planned.counts["trials"] == planned.counts["pending"] == 72
    assert len({trial.assignment_id for trial in planned.trials}) == 24


def test_a_plan_is_the_same_every_time(tmp_path: Path) -> None:
    first, again = plan(study(tmp_path)), plan(study(tmp_path))
    assert ids(first) == ids(again)
    assert [p.group for p in first.packs] == [p.group for p in again.packs]


def test_trials_hold_every_hyperparameter_so_that_a_default_is_its_value(tmp_path: Path) -> None:
    short = plan(study(tmp_path, methods={"lora": {"rank": 8}}))
    written = plan(study(tmp_path, methods={"lora": {"alpha": 16, "rank": [8]}}))
    assert short.trials[0].hyperparameters == {"rank": 8, "alpha": 16.0, "learning_rate": 1e-4, "batch_size": 8}
    assert ids(short) == ids(written)


def test_what_does_not_change_a_result_does_not_change_an_id(tmp_path: Path) -> None:
    before = plan(study(tmp_path))
    backbone = [{"source": "FacebookAI/roberta-base", "name": "other"}]
    after = plan(study(tmp_path, study="t", backbones=backbone, storage=str(tmp_path), resources={"gpu": 1}))
    assert ids(before) == ids(after)


@pytest.mark.parametrize(
    "sections",
    [
        {"protocol": {"max_length": 64}},
        {"protocol": {"train_rows": 10}},
        {"protocol": {"precision": "bfloat16"}},
        {"backbones": [{"source": "FacebookAI/roberta-base", "revision": "abc"}]},
    ],
)
def test_what_changes_a_result_changes_every_id(tmp_path: Path, sections: dict[str, Any]) -> None:
    before, after = plan(study(tmp_path)), plan(study(tmp_path, offline=True, **sections))
    assert not set(ids(before)) & set(ids(after))


def test_finished_trials_are_not_planned_again(tmp_path: Path) -> None:
    whole = plan(study(tmp_path))
    done = ended(whole.trials[::2])
    rest = plan(study(tmp_path), done)
    assert pending(rest) == set(ids(whole)) - set(done)
    assert rest.counts["finished"] == len(done)
    assert [c.finished for c in rest.cells] == [12, 6, 12, 6]
    assert plan(study(tmp_path), ended(whole.trials)).packs == ()


def test_what_is_left_of_a_pack_keeps_its_name(tmp_path: Path) -> None:
    packed = {"resources": {"pack_tokens": 10**6}}
    whole = plan(study(tmp_path, **packed))
    first = whole.packs[0]
    rest = plan(study(tmp_path, **packed), ended(first.trials[:1]))
    assert rest.packs[0].group == first.group
    assert rest.packs[0].trials == first.trials[1:]


def test_an_added_method_or_seed_plans_only_its_trials(tmp_path: Path) -> None:
    done = ended(plan(study(tmp_path)).trials)
    more = plan(study(tmp_path, methods={"lora": {"rank": [2, 4]}, "fine_tuning": {}, "bitfit": {}}), done)
    assert {pack.trials[0].method for pack in more.packs} == {"bitfit"}
    more = plan(study(tmp_path, seeds=4), done)
    assert {trial.seed for pack in more.packs for trial in pack.trials} == {3}


def test_packs_are_of_one_on_the_cpu(tmp_path: Path) -> None:
    assert {len(pack.trials) for pack in plan(study(tmp_path)).packs} == {1}


def test_auto_is_the_cpu_or_a_gpu_and_no_other_trials(tmp_path: Path) -> None:
    auto = study(tmp_path)
    assert auto.resources.gpu == "auto"
    plans = {there: plan(with_gpus(auto, there)) for there in (True, False)}
    for there, written in ((True, 1), (False, 0)):
        same = plan(study(tmp_path, resources={"gpu": written}))
        assert [pack.group for pack in plans[there].packs] == [pack.group for pack in same.packs]
    assert ids(plans[True]) == ids(plans[False]) == ids(plan(auto))
    assert len(plans[True].packs) < len(plans[False].packs)
    written = study(tmp_path, resources={"gpu": 0.5})
    assert with_gpus(written, False) == written


def with_gpus(of: Study, there: bool) -> Study:
    return of.model_copy(update={"resources": of.resources.decided(gpus_there=there)})


def test_packs_hold_as_many_tokens_as_a_step_takes(tmp_path: Path) -> None:
    gpu = study(tmp_path, resources={"gpu": 1}, protocol={"max_length": 512})
    largest: dict[tuple[str, str, int], int] = {}
    for pack in plan(gpu).packs:
        trial = pack.trials[0]
        assert len({t.batch_size for t in pack.trials}) == 1
        key = (trial.task.name, trial.method, trial.batch_size)
        largest[key] = max(largest.get(key, 0), len(pack.trials))
    assert largest == {
        ("demo/sentiment", "lora", 8): 4,  # 16,384 / (8 · 512); two of each rank's six trials share a pack
        ("demo/sentiment", "lora", 16): 2,
        ("demo/sentiment", "fine_tuning", 8): 1,
        ("demo/sentiment", "fine_tuning", 16): 1,
        ("demo/choice", "lora", 8): 2,  # two choices are two sequences
        ("demo/choice", "lora", 16): 1,
        ("demo/choice", "fine_tuning", 8): 1,
        ("demo/choice", "fine_tuning", 16): 1,
    }
    assert pending(plan(gpu)) == set(ids(plan(gpu)))


def on_a_card(folder: Path, **sections: Any) -> Study:
    """LoRA of one rank on a GPU: 60 trials of one shape, 2,048 tokens a step at most."""
    grid = {"batch_size": 16, "learning_rate": [1e-5, 1e-4, 1e-3]}
    changes = {"tasks": ["demo/sentiment"], "methods": {"lora": {"rank": 2}}, "defaults": grid, "seeds": 20}
    return study(folder, storage=str(folder / "runs"), **{"resources": {"gpu": 1}, **changes, **sections})


def test_packs_are_as_large_as_was_measured_on_the_device(tmp_path: Path) -> None:
    """Parts of one plan, so that what is planned before and after a measurement has the same names."""
    one, card = on_a_card(tmp_path), "NVIDIA H100"
    (cell,) = plan(one, device=card).cells
    assert (len(cell.packs), cell.largest, cell.unmeasured) == (8, 8, 8), "by tokens, until it is measured"
    trial, file = cell.trials[0], PackSizes(Path(one.cache_dir))
    file.learn(trial, Device(card, 1.0), Knee(16, ended=True), {})
    (known,) = plan(one, device=card).cells
    assert (len(known.packs), known.largest, known.unmeasured) == (4, 16, 0)
    assert {parent for pack in cell.packs for parent in pack.parents} >= {pack.group for pack in known.packs}
    for elsewhere in ("NVIDIA A100", ""):
        assert plan(one, device=elsewhere).cells == plan(one).cells == (cell,)

    file.ran_out(trial, Device(card, 1.0), 8)
    assert plan(one, device=card).cells[0].largest == 4
    assert [c.largest for c in plan(on_a_card(tmp_path, confirm=6), device=card).cells] == [4]


def test_a_number_of_tokens_is_not_measured(tmp_path: Path) -> None:
    """But what does not fit into memory does not."""
    one = on_a_card(tmp_path, resources={"gpu": 1, "pack_tokens": 2048 * 30})
    (cell,) = plan(one, device="NVIDIA H100").cells
    file, card = PackSizes(Path(one.cache_dir)), Device("NVIDIA H100", 1.0)
    file.learn(cell.trials[0], card, Knee(4, ended=True), {})
    assert plan(one, device=card.name).cells == (cell,)
    assert (cell.largest, cell.unmeasured) == (30, 0)
    file.ran_out(cell.trials[0], card, 30)
    assert [len(pack.trials) for pack in plan(one, device=card.name).packs] == [8, 8, 14] * 2


def test_an_adaptive_search_asks_for_no_more_than_by_tokens(tmp_path: Path) -> None:
    """What it asks for at once, it asks for without having learnt from it."""
    ranges = {"batch_size": 16, "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
    one = on_a_card(tmp_path, search={"strategy": "tpe", "n": 100}, defaults=ranges, seeds=1)
    pack = StudySearch(one, {}).next()
    assert pack is not None
    assert len(pack.trials) == 8


def test_a_random_search_depends_on_the_cell_alone(tmp_path: Path) -> None:
    lora = {"rank": {"low": 1, "high": 64}, "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}
    search = {"strategy": "random", "n": 5, "seed": 2}
    one = plan(study(tmp_path, methods={"lora": lora}, search=search))
    more = plan(study(tmp_path, methods={"bitfit": {}, "lora": lora}, search={**search, "n": 6}))
    assert [c.assignments for c in one.cells] == [5, 5]
    assert set(ids(one)) < set(ids(more))
    assert [t.hyperparameters for t in one.cells[0].trials] != [t.hyperparameters for t in one.cells[1].trials]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_methods(tmp_path: Path) -> None:
    s = study(tmp_path, tasks=["glue/mnli", "glue/rte", "glue/sts-b"])
    spec = backbones.spec(s.backbones[0])
    found = {(size.method, size.hyperparameters.get("rank")): size for size in sizes(s, plan(s))}
    assert set(found) == {("lora", 2), ("lora", 4), ("fine_tuning", None)}
    assert found["lora", 4].parameters == 4 * 4 * 12 * 768  # 4 l r d
    assert found["fine_tuning", None].parameters == spec.parameters
    assert found["lora", 2].heads == {1: 769, 2: 1538, 3: 2307}


def test_sizes_are_unknown_where_the_hub_is_out_of_reach(tmp_path: Path) -> None:
    s = study(tmp_path, offline=True, backbones=["nobody/no-such-encoder"])
    assert {size.parameters for size in sizes(s, plan(s))} == {None}


# --- the published studies --------------------------------------------------------------------------------------------


def test_the_papers_studies_are_there() -> None:
    assert sorted(PAPER) == [
        "glue_roberta_base",
        "glue_roberta_large",
        "superglue_deberta_xl",
        "superglue_roberta_base",
        "superglue_roberta_large",
    ]


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_studies_are_as_in_its_tables(name: str) -> None:
    """Counted by hand from Tables 5 and 6: six methods of five ranks, BitFit, and fine-tuning with five rates."""
    s = load(STUDIES / f"{name}.yaml")
    roberta = "deberta" not in name
    shared = 2 * 4 if roberta else 3 * 7
    expected = {"bitfit": shared, "fine_tuning": 2 * 5 if roberta else 3 * 5}
    planned = plan(s)
    for cell in planned.cells:
        rte = roberta and cell.key.task.endswith("/rte")
        ranks = 1 if cell.key.method in ("bitfit", "fine_tuning") else 5
        assert cell.assignments == (4 * 8 * ranks if rte else expected.get(cell.key.method, shared * ranks)), (
            cell.key.task
        )
        assert len(cell.trials) == cell.assignments * (5 if roberta else 1)
    assert {c.key.method for c in planned.cells} == paper.METHODS
    assert planned.counts["trials"] == {"glue": 14_150, "superglue": 12_860 if roberta else 4_662}[name.split("_")[0]]
    for task in s.tasks:  # Table 6 stands in the studies and in the tasks: both say the same
        protocol = s.protocol_for(task)
        assert (protocol.epochs, protocol.patience) == (task.epochs, task.patience), task.name


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_published_study_is_valid_and_named_like_its_file(path: Path, minilm: Any) -> None:
    s = load(path)
    assert s.name == path.stem
    assert s.description
    assert set(s.methods) >= paper.METHODS


def test_the_largest_study_is_planned_without_doing_anything_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are what a plan spends its time on: one of each trial, assignment and pack."""
    hashed: list[object] = []
    digest = trial_module.digest
    monkeypatch.setattr(trial_module, "digest", lambda value: hashed.append(value) or digest(value))
    planned = plan(load(STUDIES / "glue_roberta_large.yaml"))
    assert len(set(ids(planned))) == 14_150
    assert len(hashed) <= 2 * 14_150 + len(planned.packs)
