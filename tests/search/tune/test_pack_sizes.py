"""Packs as large as pays, in a whole run: measured by the worker that trains them, and known to the next run."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.families import save_tiny
from helpers.stub_study import write_study

from search import study
from search.planning.plan import plan
from search.tracking.journal import local_folder
from search.tracking.records import in_journal
from search.tune import tuner
from search.tune.view import View
from trainables.pack_sizes import FILE_NAME, Device, PackSizes


def write(folder: Path, seeds: int) -> study.Study:
    """A pack of eight trials or more, of so many steps that packs of one and two may be tried."""
    return study.load(
        write_study(
            folder,
            backbones=[{"source": str(folder / "bert"), "name": "tiny"}],
            methods={"lora": {"rank": 2}},
            defaults={"learning_rate": [1e-3, 5e-3], "batch_size": 4},
            seeds=seeds,
            protocol={"epochs": 3, "patience": 3, "max_length": 16, "train_rows": 112, "dev_rows": 8},
            resources={"cpu": 1, "gpu": 0, "concurrent_packs": 1, "pack_tokens": "measured"},
        )
    )


@pytest.mark.usefixtures("ray_two_cpus")
def test_a_study_measures_once_and_trains_in_parts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_tiny("bert", tmp_path / "bert")
    first = write(tmp_path, seeds=4)
    cell = plan(first, device="cpu").cells[0]
    assert (len(cell.packs), cell.largest, cell.unmeasured) == (8, 1, 8)

    capfd.readouterr()
    assert tuner.run(first, view=View()) == tuner.Outcome(finished=8)
    assert capfd.readouterr().err.count(" at a time: on cpu packs of 1, 2, 4, … members train ") == 1
    file = Path(first.cache_dir) / FILE_NAME
    measured = file.read_bytes()
    assert measured.count(b"\n") == 1
    size = PackSizes(file.parent).members(cell.trials[0], Device("cpu", 1.0))
    assert size in (1, 2)
    records = in_journal(local_folder(first.folder), print)
    assert {record.pack_size for record in records.values()} == {size}
    assert not list((Path(first.folder) / "checkpoints").iterdir())

    more = write(tmp_path, seeds=5)
    planned = plan(more, records, device="cpu").cells[0]
    assert (planned.largest, planned.unmeasured) == (size, 0)
    assert tuner.run(more, view=View()) == tuner.Outcome(finished=2, skipped=8)
    assert " at a time: " not in capfd.readouterr().err
    assert file.read_bytes() == measured
