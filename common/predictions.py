"""The file of a trial's answers on the dev split: ``.npz`` of numpy, compressed, with a checksum and no pickle.

It holds ``predicted`` and ``gold``, ``(n_examples,)`` each, and ``metric``, the name of the task's: whoever has the
file can score it again. Class ids are whole numbers of as few bytes as hold them, values are float32.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib

import numpy as np

from common.metrics import METRICS

#: What numpy raises, and zip beside its own errors, where a file is cut off or altered.
_DAMAGES = (KeyError, OSError, TypeError, ValueError, EOFError, NotImplementedError)

_WHOLE = (np.int8, np.int16, np.int32)

#: Bytes of a file beside what its examples take: names, shapes and checksums.
_FILE = 600


def compact(metric: str, values: np.ndarray) -> np.ndarray:
    """Answers ``(n_examples,)`` in the smallest type that holds them exactly: float32, or int8 and so on for class ids.

    The type of ids follows from the ids: it may be another one for other members of a pack.
    """
    if METRICS[metric].on == "values":
        return np.ascontiguousarray(values, np.float32)
    most = int(np.abs(values).max(initial=0))
    return np.ascontiguousarray(values, next(kind for kind in _WHOLE if most <= np.iinfo(kind).max))


def to_bytes(metric: str, predicted: np.ndarray, gold: np.ndarray) -> bytes:
    """The file of answers ``predicted`` to examples whose labels are ``gold``. The same answers give the same bytes."""
    file = io.BytesIO()
    arrays = {"predicted": compact(metric, predicted), "gold": compact(metric, gold)}
    np.savez_compressed(file, allow_pickle=False, metric=np.array(metric), **arrays)
    return file.getvalue()


def from_bytes(content: bytes) -> tuple[str, np.ndarray, np.ndarray]:
    """Metric, ``predicted`` and ``gold`` of a file: ids as int64, values as float32. ValueError where it is damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            metric, predicted, gold = str(file["metric"]), file["predicted"], file["gold"]
    except (*_DAMAGES, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"not a file of answers, or a damaged one ({error})") from error
    if metric not in METRICS or predicted.shape != gold.shape or predicted.ndim != 1:
        raise ValueError(f"a file of answers needs a known metric and as many answers as labels, but has {metric!r}")
    kind = np.float32 if METRICS[metric].on == "values" else np.int64
    return metric, predicted.astype(kind), gold.astype(kind)


def size(metric: str, examples: int, classes: int) -> int:
    """About how many bytes the file of so many examples has; ``classes``: from how many an answer is chosen.

    Measured: deflate takes a little more than the logarithm of the classes for an id that is as good as random.
    """
    bits = 20.0 if METRICS[metric].on == "values" else 1.1 * math.log2(max(2, classes)) + 0.4
    return round(_FILE + 2 * examples * bits / 8)
