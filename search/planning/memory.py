"""Trials that this machine has no memory for, told before they fail one by one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from search.planning.plan import Size
from search.study import Study, spec_if_known
from trainables import devices
from trainables.methods import BYTES_PER_TRAINED

#: Where Linux says what a container may take.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def too_large(study: Study, sizes: Sequence[Size], available: int | None = None) -> list[str]:
    """A sentence for each of ``sizes`` that takes more than the ``available`` bytes; by default, those of this machine.

    Counted are what is trained (float32, with gradient, Adam's means and the best epoch's copy) and the backbone; what
    the examples of a step take comes to it.
    """
    have = machine_bytes(study) if available is None else available
    specs = {backbone.name: spec_if_known(backbone) for backbone in study.backbones}
    lines = []
    for size in sizes:
        spec = specs[size.backbone]
        if spec is None or size.parameters is None:
            continue
        head = max(size.heads.values(), default=0)
        needed = BYTES_PER_TRAINED * (size.parameters + head) + 4 * spec.parameters
        if needed > have:
            values = ", ".join(f"{name}={value}" for name, value in size.hyperparameters.items())
            what = f"{size.backbone}, {size.method}" + (f" ({values})" if values else "")
            lines.append(
                f"{what} takes {needed / 2**30:,.1f} GB and more, "
                f"and this machine has {have / 2**30:,.1f} GB for it: train it elsewhere, or choose smaller sizes"
            )
    return lines


def machine_bytes(study: Study) -> int:
    """The memory of what a trial trains on here: of the first GPU, where the study takes one and one is there."""
    if study.resources.gpu and (first := devices.first_gpu_bytes()) is not None:
        return first
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _LIMITS:
        if file.is_file() and (written := file.read_text().strip()).isdigit():
            found.append(int(written))
    return min(found)
