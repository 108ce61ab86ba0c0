"""Which tokens an artifact moves most: ‖P_x‖₂ of every layer (the paper's section C, Tables 7 to 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from serving.artifact import Artifact
from trainables import backbones, tasks
from trainables.data.encoding import encode
from trainables.tasks import DataError
from trainables.tasks._text import render

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("backbone", "task", "method", "layer", "rank", "token_id", "token", "norm", "special", "seen")

#: Tokens whose rows are in memory at once.
_CHUNK = 2048
_SPACE = "␣"


def norms(rows: Tensor) -> Tensor:
    """The Euclidean norms ``(v, l)``, float32, of rows ``(v, l, d)`` in half precision, read piece by piece."""
    import torch

    return torch.cat([piece.float().norm(dim=-1) for piece in rows.split(_CHUNK)])


def largest(artifact: Artifact, top: int, seen: Collection[int] | None = None) -> Iterator[dict[str, Any]]:
    """The ``top`` tokens with the largest norms of each layer, the largest first: rows with ``COLUMNS``.

    ``layer`` from 0: P is added before it. ``rank`` from 1. ``token`` as people read it, a space before it written
    ``␣``. ``special``: the tokenizer's own, such as ``[SEP]``. ``seen``: whether it is among the ids ``seen``; None
    where these are not known. Rows past the tokenizer's last id are left out: no text has them.

    Raises:
        ValueError: the method has no rows of P, or the backbone's tokenizer is not found.
    """
    rows = artifact.rows()
    if rows is None:
        raise ValueError(
            f"{artifact.path} has no rows of P, since {artifact.method_name} adds none; give one of an AoT method"
        )
    tokenizer = backbones.tokenizer(artifact.backbone)
    found = norms(rows[: len(tokenizer)])  # (v, l)
    place = {"backbone": artifact.backbone.name, "task": artifact.task.name, "method": artifact.method_name}
    special = set(tokenizer.all_special_ids)
    values, ids = found.topk(min(top, len(found)), dim=0)  # (top, l)
    names = readable(tokenizer, sorted(set(ids.flatten().tolist())))
    for layer in range(found.shape[1]):
        pairs = zip(ids[:, layer].tolist(), values[:, layer].tolist(), strict=True)
        for rank, (token_id, norm) in enumerate(pairs, start=1):
            known = None if seen is None else token_id in seen
            what = {"token_id": token_id, "token": names[token_id], "norm": norm}
            yield {**place, "layer": layer, "rank": rank, **what, "special": token_id in special, "seen": known}


def readable(tokenizer: Any, ids: Sequence[int]) -> dict[int, str]:
    """Tokens by id as people read them: bytes as letters, a space as ``␣``; a part of a letter as the vocabulary's."""
    names = {}
    for token_id, raw in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), strict=True):
        text = raw.replace("▁", " ") if "▁" in raw else tokenizer.convert_tokens_to_string([raw])
        if not text or "�" in text:
            text = raw
        text = text if text.isprintable() else text.encode("unicode_escape").decode()
        names[token_id] = text.replace(" ", _SPACE)
    return names


def train_tokens(artifact: Artifact, data_dir: str | None = None) -> set[int] | None:
    """The ids of all tokens of the task's train split, cut as in training; None where that cannot be read.

    A built-in task is read from ``data_dir``, ``AOT_DATA_DIR`` or the hub; of a study's own task an artifact does not
    know the data.

    Raises:
        ValueError: the backbone's tokenizer is not found.
    """
    task = artifact.task
    if task.name not in tasks.names() or task != tasks.get(task.name):
        return None
    tokenizer = backbones.tokenizer(artifact.backbone)
    try:
        texts = render(tasks.resolve(task, data_dir), "train")
    except DataError:
        return None
    tensors, _ = encode(texts, tokenizer, artifact.max_length, task.truncation)
    return set(tensors["ids"].tolist())
