"""What the tests of ``trainables`` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.added import added
from helpers.checkpoints import DeathError, Steps
from helpers.members import changed_backbones
from torch import Tensor

from trainables import pack_checkpoint
from trainables.optim import Members


@pytest.fixture(scope="module")
def added_methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The methods of ``helpers.added`` among those of the folder, for the tests of a file."""
    with added(tmp_path_factory.mktemp("methods")):
        yield


@pytest.fixture
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each step, in a workspace of 0 seconds, however long it takes to write one."""
    monkeypatch.setattr(pack_checkpoint, "SAVING_SHARE", 0)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Counts the steps that are begun, and ends the process in the one that it is told."""
    counter, update = Steps(), Members.step

    def counted(members: Members, loss: Tensor) -> None:
        counter.begun += 1
        if counter.begun == counter.death:
            raise DeathError
        update(members, loss)

    monkeypatch.setattr(Members, "step", counted)
    return counter


@pytest.fixture
def frozen_backbones() -> Iterator[None]:
    """No test changes a backbone that the tests share; one that did is made anew, so that no other test suffers."""
    yield
    assert not changed_backbones(), "the method changed the frozen backbone; it may only read it"
