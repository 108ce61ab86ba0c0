"""What a worker does with a pack before it trains it, and what it remembers of one that did not fit. Without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.packs import pack
from helpers.stub_study import TRAIN

from search.tune.trainable import PackJob, PackReport, PackTrainable
from trainables.pack_sizes import Device, PackSizes
from trainables.trial import Pack


def first_report(of: Pack, folder: Path, *, part: float = 1.0, measured: bool = False, **wishes: int) -> PackReport:
    """Of a worker with the stub, as ``wishes`` say (``helpers.stub_training``)."""
    storage = folder / "study"
    storage.mkdir(exist_ok=True)
    (storage / "stub.json").write_text(json.dumps(wishes))
    job = PackJob((of,), TRAIN, str(storage), str(folder / "cache"), 1, part=part, measured=measured)
    return PackTrainable({"job": job}).step()["report"]


def test_what_did_not_fit_is_not_tried_again_by_another_run(tmp_path: Path) -> None:
    one = pack(members=8)
    report = first_report(one, tmp_path, members=4)
    assert report.failure is not None
    assert report.failure.kind == "memory"
    again = first_report(one, tmp_path, members=4)
    assert (again.failure, again.most, again.epochs) == (None, 4, [])
    (half, _) = one.split()
    assert first_report(half, tmp_path, members=4).epochs
    assert first_report(one, tmp_path, part=2.0).epochs, "on more of the machine it is tried"


def test_a_trial_that_does_not_fit_alone_says_nothing_of_packs(tmp_path: Path) -> None:
    report = first_report(pack(), tmp_path, members=0)
    assert report.failure is not None
    assert not (tmp_path / "cache").exists()


def test_a_pack_larger_than_pays_comes_back(tmp_path: Path) -> None:
    one = pack(members=8)
    report = first_report(one, tmp_path, measured=True, pays=4)
    assert (report.most, report.notes, report.epochs, report.failure) == (4, ["4 at a time"], [], None)
    assert first_report(one.split()[0], tmp_path, measured=True, pays=4).epochs
    left = one.without({trial.id for trial in one.trials[1:]})
    assert left is not None
    assert first_report(left, tmp_path, measured=True, pays=4).most == 4, "its part may have a checkpoint"
    assert first_report(one, tmp_path, pays=4).epochs, "nothing is measured where the study gives a number"


@pytest.mark.parametrize("measured", [True, False])
def test_a_pack_that_pays_is_trained(measured: bool, tmp_path: Path) -> None:
    report = first_report(pack(members=8), tmp_path, measured=measured)
    assert report.most is None
    assert report.epochs


def test_a_cache_that_takes_no_line_fails_no_pack_otherwise(tmp_path: Path) -> None:
    """The pack is split by its driver all the same."""
    (tmp_path / "cache").write_text("not a folder")
    report = first_report(pack(members=8), tmp_path, members=4)
    assert report.failure is not None
    assert report.failure.kind == "memory"


def test_what_others_wrote_counts(tmp_path: Path) -> None:
    one = pack(members=8)
    PackSizes(tmp_path / "cache").ran_out(one.trials[0], Device("cpu", 1.0), 4)
    assert first_report(one, tmp_path).most == 2
