"""What is evaluated: tokens by Zipf's law, rows of P that are of distinct tasks, members without noughts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.families import tiny_backbone

from serving.speed_inputs import RandomArtifact, Texts, random_rows, row_bytes
from trainables import methods
from trainables.backbones import Spec

SPEC = Spec("roberta", layers=3, width=8, embedding_width=8, heads=2, vocabulary=500, pad_token_id=1, max_tokens=512)


def test_tokens_follow_zipf_s_law() -> None:
    ids = np.concatenate([Texts(SPEC, 64, 384).ids(i).ravel() for i in range(20)])
    assert ids.min() >= 0
    assert ids.max() < SPEC.vocabulary
    assert SPEC.pad_token_id not in ids
    counts = np.sort(np.bincount(ids, minlength=SPEC.vocabulary))[::-1][: SPEC.vocabulary - 1]
    expected = 1 / np.arange(1, SPEC.vocabulary)
    expected *= len(ids) / expected.sum()
    assert np.abs(counts[:20] / expected[:20] - 1).max() < 0.05
    assert np.abs(counts[100:400].sum() / expected[100:400].sum() - 1) < 0.02


def test_an_index_names_a_batch() -> None:
    texts = Texts(SPEC, 4, 16)
    assert texts.ids(3).shape == (4, 16)
    assert texts.ids(3).dtype == np.int64
    np.testing.assert_array_equal(texts.ids(3), Texts(SPEC, 4, 16).ids(3))
    assert (texts.ids(3) != texts.ids(4)).any()
    assert (texts.ids(-1) != texts.ids(0)).any()


def test_rows_are_distinct_where_there_is_room(tmp_path: Path) -> None:
    found = random_rows(SPEC, 3, 3 * 500 * row_bytes(SPEC), tmp_path)
    assert found.distinct == 1
    assert [tuple(rows.shape) for rows in found.tasks] == 3 * [(500, 3, 8)]
    places = [rows.data_ptr() for rows in found.tasks]
    assert np.diff(places).tolist() == 2 * [500 * row_bytes(SPEC)]
    assert all(rows.dtype == torch.float16 and rows.isfinite().all() and rows.any(2).all() for rows in found.tasks)
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_rows_of_many_tasks_overlap_and_say_by_how_much(tmp_path: Path) -> None:
    """Five tasks in the room of two: each begins a quarter of a vocabulary after the last."""
    found = random_rows(SPEC, 5, 10, tmp_path)
    assert found.distinct == 0.25
    assert np.diff([rows.data_ptr() for rows in found.tasks]).tolist() == 4 * [125 * row_bytes(SPEC)]
    torch.testing.assert_close(found.tasks[1][:375], found.tasks[0][125:])


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    large = Spec("x", layers=48, width=1024, embedding_width=1, heads=1, vocabulary=10**9, pad_token_id=0, max_tokens=1)
    with pytest.raises(ValueError, match=r"random rows of P for 1 tasks take 98304\.0 GB of disk, but .* by --scratch"):
        random_rows(large, 1, 10**15, tmp_path)


@pytest.mark.parametrize("name", methods.names())
def test_a_random_artifact_has_no_noughts_and_the_next_task_s_is_another(name: str) -> None:
    backbone = tiny_backbone("roberta")
    first = RandomArtifact(name, backbone)
    second = RandomArtifact(name, backbone, like=first)
    params = {n: t for n, t in first.tensors().items() if not n.startswith("head.")}
    assert sum(t.numel() for n, t in params.items()) == first.method(backbone.spec).count()
    for tensor, other in zip(first.tensors().values(), second.tensors().values(), strict=True):
        assert tensor.any()
        assert tensor.shape == other.shape
        assert tensor.numel() == 1 or not torch.equal(tensor, other) or len(tensor.unique()) == 1
        assert tensor.data_ptr() != other.data_ptr()
