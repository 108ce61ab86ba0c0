"""What an engine is asked by name: names, bad rows, artifacts that do not fit, and changes while it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.artifacts import trained, write_artifact

from serving import engine as engines
from serving import fuse
from serving.artifact import Artifact, ArtifactError
from serving.engine import Engine
from serving.request import Answer, Refusal, Request
from trainables import backbones
from trainables.backbones import resolve
from trainables.tasks.custom import Columns, custom_task, files

ROW = {"sentence1": "the cat sat on the mat", "sentence2": "a dog ran"}


@pytest.fixture
def rte(source, tmp_path: Path) -> Callable[[str], Artifact]:
    """``rte(method)``: an artifact of RTE."""
    return lambda method: write_artifact(tmp_path / method, method, "glue/rte", source("bert"))


@pytest.fixture
def engine(source) -> Engine:
    return Engine(source("bert"), device="cpu")


def test_a_task_goes_by_its_name_while_it_can_mean_one_artifact(engine: Engine, rte) -> None:
    assert engine.add(rte("lora")) == "glue/rte"
    assert engine.add(rte("aot_fc")) == "glue/rte@aot_fc"
    assert [served.name for served in engine.tasks()] == ["glue/rte@lora", "glue/rte@aot_fc"]
    both, one, other = engine.predict([Request(f"glue/rte{end}", ROW) for end in ("", "@lora", "@aot_fc")])
    assert isinstance(both, Refusal)
    assert (both.rule, "glue/rte@lora, glue/rte@aot_fc" in both.reason) == ("unknown_task", True)
    assert isinstance(one, Answer)
    assert isinstance(other, Answer)
    assert one.logits != other.logits
    engine.remove("glue/rte@lora")
    assert [served.name for served in engine.tasks()] == ["glue/rte"]
    (again,) = engine.predict([Request("glue/rte", ROW)])
    assert isinstance(again, Answer)
    assert again.logits == other.logits


def test_a_name_of_its_own(engine: Engine, rte) -> None:
    assert engine.add(rte("lora"), name="entails") == "entails"
    with pytest.raises(ValueError, match="'entails' is served already; give this one another"):
        engine.add(rte("aot_fc"), name="entails")
    with pytest.raises(ValueError, match="'glue/rte' is served already"):
        engine.add(rte("aot_fc"), name="glue/rte")
    engine.add(rte("aot_fc"))
    with pytest.raises(ValueError, match="'glue/rte@aot_fc' is served already; give this one a name"):
        engine.add(rte("aot_fc"))
    assert {type(answer) for answer in engine.predict([Request("entails", ROW)])} == {Answer}


def test_what_is_served(engine: Engine, rte) -> None:
    engine.add(rte("aot_fc"), rows="factors")
    engine.add(rte("bitfit"))
    rows, bias = engine.tasks()
    assert (rows.task, rows.method, rows.rows) == ("glue/rte", "aot_fc", "factors")
    assert (rows.labels, rows.fields) == (("entailment", "not_entailment"), ("sentence1", "sentence2"))
    assert (bias.rows, bias.max_length, bias.score) == (None, 128, None)
    assert bias.bytes > 0
    assert rows.bytes > 0


def test_one_bad_row_answers_with_its_error(engine: Engine, rte) -> None:
    engine.add(rte("aot_fc"))
    good = Request("glue/rte", ROW)
    (alone,) = engine.predict([good])
    asked = [
        Request("glue/rta", ROW),
        good,
        Request("glue/rte", {"sentence1": "a"}),
        Request("glue/rte", {**ROW, "sentence1": " "}),
        Request("glue/rte", {**ROW, "sentence2": ["no text"]}),
        good,
    ]
    found = engine.predict(asked)
    rules = [answer.rule if isinstance(answer, Refusal) else None for answer in found]
    assert rules == ["unknown_task", None, "missing_field", "empty_text", "not_text", None]
    assert "did you mean 'glue/rte'?" in found[0].reason
    assert found[1].logits == pytest.approx(alone.logits, abs=1e-5)
    assert found[5].logits == pytest.approx(alone.logits, abs=1e-5)
    assert engine.predict([]) == []


def test_too_long(source, rte) -> None:
    long = Request("glue/rte", {**ROW, "sentence1": "the cat sat " * 100})
    for option, kind in (("cut", Answer), ("refuse", Refusal)):
        engine = Engine(source("bert"), device="cpu", too_long=option)
        engine.add(rte("aot_fc"))
        found, short = engine.predict([long, Request("glue/rte", ROW)])
        assert isinstance(found, kind)
        assert isinstance(short, Answer)
        assert not short.cut
        assert getattr(found, "cut", True)
        assert getattr(found, "rule", "too_long") == "too_long"


def test_an_artifact_of_another_backbone_is_refused(source, rte) -> None:
    engine = Engine(source("bert", seed=5), device="cpu")
    with pytest.raises(ArtifactError, match="use the backbone that it was trained on"):
        engine.add(rte("aot_fc"))
    assert engine.tasks() == ()


def test_options_that_do_not_fit(source, engine: Engine, rte) -> None:
    with pytest.raises(ValueError, match="rows='factors' belongs to methods with rows of P, and lora has none"):
        engine.add(rte("lora"), rows="factors")
    with pytest.raises(ValueError, match="rows must be one of host, device, factors, but got 'disk'"):
        engine.add(rte("aot_fc"), rows="disk")
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, but got 'half'"):
        Engine(source("bert"), precision="half")
    with pytest.raises(ValueError, match="device must be one that is here, but got 'abacus'"):
        Engine(source("bert"), device="abacus")
    with pytest.raises(KeyError, match="no task 'glue/rte' is served"):
        engine.remove("glue/rte")


def test_a_task_of_ones_own(engine: Engine, source, tmp_path: Path) -> None:
    task = custom_task(
        "mine/reviews",
        source=files("a.csv", "b.csv"),
        columns=Columns(("review.text",)),
        labels=("bad", "fine", "good"),
    )
    engine.add(fuse.write(tmp_path / "own", *trained("aot_kronecker", task, source("bert"))))
    (answer,) = engine.predict([Request("mine/reviews", {"review.text": "a good {movie}"})])
    assert isinstance(answer, Answer)
    assert list(answer.scores) == ["bad", "fine", "good"]


def test_all_rows_are_on_the_device_where_they_fit(source, rte) -> None:
    engine = Engine(source("bert"), device="cpu", rows="device")
    engine.add(rte("aot_fc"))
    facts = engine.facts()
    assert facts["cache_bytes"] == rte("aot_fc").rows().numel() * 2
    engine.predict([Request("glue/rte", ROW)])
    facts = engine.facts()
    assert (facts["cache_misses"], facts["cache_hits"] > 0) == (0, True)
    engine.remove("glue/rte")
    assert engine.facts()["cache_bytes"] == 0


@pytest.mark.parametrize("method", ["aot_fc", "lora"])
def test_tasks_come_and_go_while_others_are_answered(method: str, source, tmp_path: Path) -> None:
    """Three threads ask for one task, which always answers the same, while another comes and goes in every form.

    Rows that are computed anew in another mix may be rounded to half precision otherwise.
    """
    made = [write_artifact(tmp_path / name, method, name, source("bert")) for name in ("glue/rte", "glue/mrpc")]
    rows = "factors" if method == "aot_fc" else None
    engine = Engine(source("bert"), device="cpu", cache_bytes=4000)
    engine.add(made[0], rows=rows)
    (expected,) = engine.predict([Request("glue/rte", ROW)])
    wrong: list[object] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            for answer in engine.predict([Request("glue/rte", ROW), Request("glue/mrpc", ROW)]):
                if answer.task == "glue/rte":
                    good = isinstance(answer, Answer) and answer.logits == pytest.approx(expected.logits, abs=1e-3)
                else:
                    good = isinstance(answer, Answer) or answer.rule == "unknown_task"
                if not good:
                    wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        form = ("host", "device", "factors")[turn % 3] if rows else None
        engine.add(made[1], rows=form)
        engine.remove("glue/mrpc")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [served.name for served in engine.tasks()] == ["glue/rte"]


def test_a_pretrained_backbone(minilm, tmp_path: Path) -> None:
    """MiniLM's own tokenizer pads and cuts by its file; the engine does neither but as the tasks say."""
    engine = Engine(minilm, device="cpu")
    for method, task in (("aot_fc", "glue/rte"), ("aot_kronecker", "superglue/copa"), ("lora", "glue/sts-b")):
        name = tmp_path / method
        given = trained(method, task, minilm, **({"rank": 16} if method == "aot_kronecker" else {}))
        engine.add(fuse.write(name, *given), rows="factors" if method.startswith("aot") else None)
    copa = {"premise": "The man broke his toe.", "choice1": "He got a hole.", "choice2": "He dropped a hammer."}
    asked = [
        Request("glue/rte", {"sentence1": "No weapons were found.", "sentence2": "Weapons were found."}),
        Request("superglue/copa", {**copa, "question": "cause"}),
        Request("glue/sts-b", {"sentence1": "A man is playing.", "sentence2": "A man plays."}),
    ]
    together, alone = engine.predict(asked), [engine.predict([one])[0] for one in asked]
    for answer, other in zip(together, alone, strict=True):
        assert isinstance(answer, Answer)
        assert answer.logits == pytest.approx(other.logits, abs=1e-3)
    assert resolve(minilm.source).identity == engine.backbone.identity


def test_an_engine_moves_a_copy_of_the_backbone_that_load_keeps(source) -> None:
    kept = backbones.load(source("bert"), torch.float32)
    moved = engines._encoder(source("bert"), torch.float32, torch.device("meta"))
    assert moved.embedding_matrix.device.type == "meta"
    assert kept.embedding_matrix.device.type == "cpu"
    assert engines._encoder(source("bert"), torch.float32, torch.device("cpu")) is kept
