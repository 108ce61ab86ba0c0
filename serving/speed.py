"""Inference time of every method beside the plain model, as section 4.3 of the paper measures it (Figures 4 and 9).

``aot speed``, or where neither Ray nor MLflow is installed ``python -m serving.speed``, which takes the same options.
What is measured stands in ``speed_settings.py``, how in ``speed_timing.py``, on what in ``speed_inputs.py`` and
``speed_machine.py``; ``speed_forwards.py`` has the forward passes, which are those of the engine.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.speed import Measured, Point, SpeedFileError, form
from serving import speed_machine, speed_settings
from serving.speed_file import SpeedFile, opened
from serving.speed_machine import Machine
from serving.speed_progress import Progress
from serving.speed_settings import QUICK_SECONDS, Settings, points
from serving.speed_statistics import interval
from serving.speed_timing import WARM_UP, in_pairs
from trainables import backbones, methods
from trainables.trial import BackboneSource

if TYPE_CHECKING:
    import torch

    from serving.speed_forwards import Bench

Say = Callable[[str], None]
WRONG, INTERRUPTED, MISSING = 2, 130, 1


def measure(settings: Settings, out: Path, say: Say, clock: Callable[[], float] = time.monotonic) -> list[Point]:
    """Measure what is asked for and not yet in the file ``out``; what did not fit into memory comes back.

    Raises:
        ValueError: a backbone is not known, a text is longer than it takes, the device is not there, or the disk has no
            room for rows of P.
        SpeedFileError: as ``speed_file.opened``.
    """
    begun = clock()
    machine = speed_machine.found(settings)
    asked, sources = _asked(settings)
    _check_lengths(asked, sources)
    too_large: list[Point] = []
    with opened(out, machine.name, told(settings, machine), say) as file:
        left = [point for point in asked if point not in file.done]
        say(f"{len(left):,} of {len(asked):,} points to measure on {machine.name}, in {_short(machine.dtype)}")
        parameters = {name: backbones.spec(source).parameters for name, source in sources.items()}
        progress = Progress(left, settings, parameters, say, clock)
        if settings.quick:
            progress.deadline = begun + QUICK_SECONDS
        for name, own in groupby(left, key=lambda point: point.backbone):
            too_large += _measure_backbone(sources[name], list(own), settings, machine, file, progress)
    return too_large


def _asked(settings: Settings) -> tuple[list[Point], dict[str, BackboneSource]]:
    """The points by the names of their backbones, and these; a folder is called by its last part."""
    found = {name: source_of(name) for name in settings.backbones or speed_settings.BACKBONES}
    sources = {source.name: source for source in found.values()}
    if len(sources) < len(found):
        raise ValueError(f"backbones of one file have names of their own, but {', '.join(found)} have not; rename one")
    return [replace(point, backbone=found[point.backbone].name) for point in points(settings)], sources


def _measure_backbone(
    source: BackboneSource, own: list[Point], settings: Settings, machine: Machine, file: SpeedFile, progress: Progress
) -> list[Point]:
    """Measure the points of one backbone; those that did not fit into memory come back."""
    from serving.speed_forwards import Bench

    bench = Bench(source, own, settings, machine)
    forms = {form(point.method, point.variant, point.rows): point for point in own}
    sizes = {name: bench.bytes_per_task(point) for name, point in forms.items()}
    file.know(source.name, {**bench.facts, "bytes_per_task": sizes})
    missed = []
    for point in own:
        measured = _measured(bench, point, settings, machine, progress)
        if measured is None:
            missed.append(point)
            progress.missed(point)
            gc.collect()  # what the frames of the error held
        else:
            file.add(measured)
            progress.done(measured)
    return missed


def _measured(bench: Bench, point: Point, settings: Settings, machine: Machine, progress: Progress) -> Measured | None:
    """A point's ratio, interval and time; ``None`` where memory is not enough."""
    import torch

    most, seconds = settings.evaluations_at(point.batch), progress.share(point)
    try:
        with torch.inference_mode(), bench.ready(point) as (plain, method):
            pairs = in_pairs(plain, method, most, machine.wait, seconds=seconds, tick=progress.tick)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return Measured(point, *interval(pairs.ratios), float(np.median(pairs.method)), machine.name)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or of the host, was not enough."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def source_of(name: str) -> BackboneSource:
    """The backbone of a name: one of the paper's, a hub id whose sizes are known, a folder, or a package's folder.

    Only its sizes are used, whatever it is. ValueError where they are not to be found.
    """
    source = speed_settings.BACKBONES.get(name, name)
    folder = backbones.folder_of(source)
    if folder is not None:
        return BackboneSource(folder.name, str(folder))
    if source not in backbones.known():
        raise ValueError(
            f"--backbone takes {', '.join(speed_settings.BACKBONES)}, or a folder with a model, but got {name!r}"
        )
    return BackboneSource(name, source)


def _check_lengths(asked: Sequence[Point], sources: dict[str, BackboneSource]) -> None:
    """ValueError where text and prompt together are longer than a backbone takes."""
    for name, method, length in dict.fromkeys((point.backbone, point.method, point.length) for point in asked):
        spec, kind = backbones.spec(sources[name]), methods.get(method)
        prompt = methods.prompt_tokens(kind(kind.Config(), spec))
        if prompt + length > spec.max_tokens:
            raise ValueError(
                f"{name} takes at most {spec.max_tokens} tokens, but --length {length} is asked for"
                + (f" with {prompt} of {method}'s prompt" if prompt else "")
                + "; give shorter ones"
            )


def told(settings: Settings, machine: Machine) -> dict[str, Any]:
    """What all points of a file have in common: one that was measured otherwise is not to be mixed with them."""
    import torch

    return {
        "precision": _short(machine.dtype),
        "evaluations": [settings.evaluations_at(1), settings.evaluations_at(2)],
        "quick": settings.quick,
        "cache_gb": settings.cache_gb,
        "warm_up": WARM_UP,
        "torch": torch.__version__,
        "hyperparameters": {name: methods.get(name).Config().model_dump() for name in methods.names()},
    }


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m serving.speed``: the options of ``aot speed``; the exit code comes back."""
    parser = argparse.ArgumentParser(prog="python -m serving.speed", description=measure.__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--backbone", nargs="+", default=(), dest="backbones", metavar="NAME")
    parser.add_argument("--batch", nargs="+", type=int, default=(), dest="batches", metavar="N")
    parser.add_argument("--length", nargs="+", type=int, default=(), dest="lengths", metavar="N")
    parser.add_argument("--methods", nargs="+", default=(), metavar="METHOD")
    parser.add_argument("--tasks", nargs="+", type=int, default=(), metavar="N")
    parser.add_argument("--rows", nargs="+", default=(), choices=speed_settings.ROWS)
    parser.add_argument("--evaluations", type=int)
    parser.add_argument("--device", default="auto", choices=speed_settings.DEVICES)
    parser.add_argument("--precision", default="auto", choices=speed_settings.PRECISIONS)
    parser.add_argument("--cache-gb", type=float)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", "-o", type=Path, required=True)
    given = vars(parser.parse_args(arguments))
    out = given.pop("out")
    try:
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        return run(Settings(**values), out, lambda words: print(words, file=sys.stderr, flush=True))
    except (ValueError, SpeedFileError, OSError) as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED


def run(settings: Settings, out: Path, say: Say) -> int:
    """``measure`` with words for people; the exit code comes back: 1 where a point did not fit into memory."""
    if out.suffix != ".csv":
        raise ValueError(f"--out must be a file that ends in .csv, but got {out}")
    try:
        missed = measure(settings, out, say)
    except KeyboardInterrupt:
        say(f"stopped; what was measured is in {out}, and the same command goes on from there")
        raise
    for point in missed:
        say(f"not measured, as memory is not enough: {described(point)}")
    say(f"the times are in {out}; draw them with: aot report --speed {out}")
    return MISSING if missed else 0


def described(point: Point) -> str:
    """A point in words."""
    tasks = f", {point.tasks} tasks" if point.tasks > 1 else ""
    return f"{point.backbone}, {point.batch} × {point.length}, {form(point.method, point.variant, point.rows)}{tasks}"


if __name__ == "__main__":
    sys.exit(main())
