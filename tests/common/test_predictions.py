"""The file of a trial's answers: what it holds, how large it is, and what damage it notices."""

from __future__ import annotations

import io

import numpy as np
import pytest

from common.metrics import METRICS
from common.predictions import compact, from_bytes, size, to_bytes

IDS = {2: np.int8, 128: np.int8, 129: np.int16, 32_768: np.int16, 32_769: np.int32}


def answers(examples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are as good as random, and predictions of which most are right."""
    draw = np.random.default_rng(3)
    gold = draw.integers(0, classes, examples)
    return np.where(draw.random(examples) < 0.85, gold, draw.integers(0, classes, examples)), gold


@pytest.mark.parametrize(("classes", "kind"), IDS.items())
def test_class_ids_of_any_number_come_back(classes: int, kind: type) -> None:
    predicted, gold = np.array([0, classes - 1, 1]), np.array([classes - 1, 0, 1])
    assert compact("accuracy", predicted.astype(float)).dtype == kind
    metric, *read = from_bytes(to_bytes("accuracy", predicted.astype(float), gold))
    assert metric == "accuracy"
    assert all(a.dtype == np.int64 and (a == b).all() for a, b in zip(read, (predicted, gold), strict=True))


@pytest.mark.parametrize("metric", [name for name, one in METRICS.items() if one.on == "values"])
def test_values_come_back_bit_for_bit(metric: str) -> None:
    predicted = np.random.default_rng(1).normal(size=50).astype(np.float32)
    name, *read = from_bytes(to_bytes(metric, predicted.astype(np.float64), predicted[::-1]))
    assert name == metric
    assert read[0].dtype == np.float32
    assert (read[0] == predicted).all()
    assert (read[1] == predicted[::-1]).all()


def test_the_same_answers_are_the_same_file_which_numpy_reads() -> None:
    predicted, gold = answers(100, 3)
    content = to_bytes("macro_f1", predicted, gold)
    assert to_bytes("macro_f1", predicted.astype(float), gold.astype(np.int16)) == content
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        assert str(file["metric"]) == "macro_f1"
        assert (file["predicted"] == predicted).all()
        assert (file["gold"] == gold).all()


@pytest.mark.parametrize(("examples", "classes"), [(277, 2), (5_463, 2), (9_815, 3), (40_430, 2), (9_815, 20)])
def test_the_size_is_known_before(examples: int, classes: int) -> None:
    assert size("accuracy", examples, classes) == pytest.approx(
        len(to_bytes("accuracy", *answers(examples, classes))), rel=0.2
    )


def test_the_size_of_values_is_known_before() -> None:
    draw = np.random.default_rng(2)
    gold = np.round(5 * draw.random(1_500), 1)
    content = to_bytes("pearson_spearman", gold + draw.normal(size=1_500), gold)
    assert size("pearson_spearman", 1_500, 1) == pytest.approx(len(content), rel=0.2)


def test_what_is_damaged_is_no_file_of_answers() -> None:
    """Cut off anywhere, or with another byte in what it holds: an error, never other answers."""
    content = to_bytes("accuracy", *answers(60, 2))
    expected = from_bytes(content)
    for end in range(len(content)):
        with pytest.raises(ValueError, match="not a file of answers"):
            from_bytes(content[:end])
    noticed = 0
    for at in range(len(content)):
        altered = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        try:
            metric, *read = from_bytes(altered)
        except ValueError:
            noticed += 1
        else:
            assert metric == expected[0]
            assert all((a == b).all() for a, b in zip(read, expected[1:], strict=True))
    assert noticed > len(content) / 2


def test_a_pickle_is_not_read() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, metric=np.array("accuracy"), predicted=np.array([None]), gold=np.array([1]))
    with pytest.raises(ValueError, match="not a file of answers"):
        from_bytes(file.getvalue())
