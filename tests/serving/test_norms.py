"""Tokens with the largest rows of P: against a sort of all of them, and what is said of each token."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.artifacts import write_artifact
from helpers.families import save_tiny, tiny_model

from serving import norms
from trainables import backbones
from trainables.tasks import Files
from trainables.tasks.custom import Columns, custom_task


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_largest_are_those_of_a_sort(family: str, source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "_CHUNK", 7)
    made = write_artifact(tmp_path / "one", "aot_fc", "demo/sentiment", source(family))
    rows = made.rows()
    found = list(norms.largest(made, 5))
    assert [(row["layer"], row["rank"]) for row in found] == [(i, r) for i in range(3) for r in range(1, 6)]
    for layer in range(3):
        lengths = [float(torch.linalg.vector_norm(row.double())) for row in rows[:, layer]]
        ids = sorted(range(len(lengths)), key=lambda i: -lengths[i])[:5]
        own = [row for row in found if row["layer"] == layer]
        assert [row["token_id"] for row in own] == ids
        assert [row["norm"] for row in own] == pytest.approx([lengths[i] for i in ids], rel=1e-5)
    assert {row["seen"] for row in found} == {None}
    assert {tuple(row) for row in found} == {norms.COLUMNS}


def test_special_and_seen_tokens(source, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "one", "aot_kronecker", "demo/sentiment", source("bert"))
    tokenizer = backbones.tokenizer(made.backbone)
    seen = norms.train_tokens(made)
    assert seen is not None
    assert {tokenizer.cls_token_id, tokenizer.sep_token_id} <= seen
    assert tokenizer.mask_token_id not in seen
    rows = {row["token_id"]: row for row in norms.largest(made, len(tokenizer), seen) if row["layer"] == 0}
    assert len(rows) == len(tokenizer)
    assert {i for i, row in rows.items() if row["special"]} == set(tokenizer.all_special_ids)
    assert {i for i, row in rows.items() if row["seen"]} == seen
    assert rows[tokenizer.convert_tokens_to_ids("##s")]["token"] == "##s"


def test_a_row_that_no_token_has_is_left_out(source, tmp_path: Path) -> None:
    """Models are padded to a round number of rows; the last of them are of nothing that a text has."""
    folder = save_tiny("bert", tmp_path / "padded")
    known = len(backbones.tokenizer(backbones.resolve(str(folder))))
    tiny_model("bert", vocabulary=known + 8).save_pretrained(folder)
    made = write_artifact(tmp_path / "one", "aot_fc", "demo/sentiment", backbones.resolve(str(folder)))
    assert len(made.rows()) == known + 8
    assert {row["token_id"] for row in norms.largest(made, 10_000)} == set(range(known))


def test_tokens_as_people_read_them(source) -> None:
    tokenizer = backbones.tokenizer(source("roberta"))
    ids = {raw: tokenizer.convert_tokens_to_ids(raw) for raw in ("Ġ", "a", "Ċ", "</s>", "Ã")}
    names = norms.readable(tokenizer, list(ids.values()))
    assert [names[ids[raw]] for raw in ids] == ["␣", "a", "\\n", "</s>", "Ã"]


def test_a_study_s_own_task_has_no_data_here(source, tmp_path: Path) -> None:
    task = custom_task(
        "mine/reviews", source=Files(("a.csv",), ("b.csv",)), columns=Columns(("text",)), labels=("bad", "good")
    )
    assert norms.train_tokens(write_artifact(tmp_path / "one", "aot_fc", task, source("bert"))) is None


def test_data_that_is_not_there(source, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "one", "aot_fc", "glue/rte", source("bert"))
    assert norms.train_tokens(made, str(tmp_path)) is None


def test_real_data(source, tmp_path: Path, real_data: str) -> None:
    made = write_artifact(tmp_path / "one", "aot_fc", "superglue/wsc", source("bert"))
    seen = norms.train_tokens(made, real_data)
    assert seen is not None
    assert backbones.tokenizer(made.backbone).convert_tokens_to_ids("she") in seen


def test_methods_without_rows(source, tmp_path: Path) -> None:
    made = write_artifact(tmp_path / "one", "bitfit", "glue/rte", source("bert"))
    with pytest.raises(ValueError, match=r"has no rows of P, since bitfit adds none; give one of an AoT method"):
        list(norms.largest(made, 5))
