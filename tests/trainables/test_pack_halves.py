"""A pack that does not fit is split: its halves go on from its checkpoint."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.checkpoints import (
    EPOCHS,
    STEPS,
    Steps,
    checkpoints,
    die,
    finish,
    make,
    workspace,
)
from helpers.families import save_tiny

from trainables import backbones, training
from trainables.trial import BackboneSource, Pack, Result


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> BackboneSource:
    return backbones.resolve(str(save_tiny("bert", tmp_path_factory.mktemp("bert"))))


@pytest.mark.usefixtures("_always")
class TestHalves:
    """Of a pack that did not fit into memory, in the middle of its second epoch."""

    DEATH = STEPS + 4

    @pytest.fixture
    def pack(self, backbone: BackboneSource) -> Pack:
        return make(backbone, members=4)

    @pytest.fixture
    def where(self, tmp_path: Path) -> training.Workspace:
        return workspace(tmp_path / "halves", 0)

    @pytest.fixture
    def expected(self, pack: Pack, tmp_path: Path) -> dict[str, Result]:
        return finish(pack, workspace(tmp_path / "whole", math.inf))

    def same(self, results: dict[str, Result], expected: dict[str, Result]) -> None:
        """But for the rounding of products of fewer members."""
        for trial_id, result in results.items():
            whole = expected[trial_id]
            assert [e.score for e in result.history] == pytest.approx([e.score for e in whole.history])
            assert [e.train_loss for e in result.history] == pytest.approx(
                [e.train_loss for e in whole.history], rel=1e-3
            )

    def test_they_go_on_from_its_checkpoint(
        self, pack: Pack, where: training.Workspace, expected: dict[str, Result], steps: Steps
    ) -> None:
        die(pack, where, steps, self.DEATH)
        halves = pack.split()
        assert [half.trials for half in halves] == [pack.trials[:2], pack.trials[2:]]
        for half in halves:
            steps.begun = 0
            self.same(finish(half, where), expected)
            assert steps.begun == EPOCHS * STEPS - (self.DEATH - 1)
            training.discard(half, where)
        assert [name for name in checkpoints(where) if "best" not in name] == [f"{pack.group}.safetensors"]

    def test_each_then_has_its_own(
        self, pack: Pack, where: training.Workspace, expected: dict[str, Result], steps: Steps
    ) -> None:
        """A half dies later, is split again, and its parts go on from there."""
        die(pack, where, steps, self.DEATH)
        first, second = pack.split()
        die(second, where, steps, 3)
        for part in second.split():
            steps.begun = 0
            self.same(finish(part, where), expected)
            assert steps.begun == EPOCHS * STEPS - (self.DEATH - 1) - 2
        steps.begun = 0
        self.same(finish(first, where), expected)
        assert steps.begun == EPOCHS * STEPS - (self.DEATH - 1)

    def test_one_that_is_damaged(
        self,
        pack: Pack,
        where: training.Workspace,
        expected: dict[str, Result],
        steps: Steps,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Then the pack's own is gone on from, where it still has the best weights of that time."""
        die(pack, where, steps, self.DEATH)
        half = pack.split()[0]
        die(half, where, steps, 2)
        file = Path(where.storage) / "checkpoints" / f"{half.group}.safetensors"
        file.write_bytes(file.read_bytes()[:-10])
        self.same(finish(half, where), expected)
        assert steps.begun == EPOCHS * STEPS - (self.DEATH - 1)
        assert f"checkpoint set aside as {file}.damaged, the pack starts from an earlier one: " in caplog.text

    def test_their_names_depend_on_the_plan_alone(self, pack: Pack) -> None:
        """A later run, which finds fewer members without a result, finds the checkpoints of the halves."""
        first, second = pack.split()
        assert first.group != second.group
        assert first.parents == second.parents == (pack.group,)
        left = pack.without({pack.trials[0].id})
        assert [part.group for part in left.split()] == [first.group, second.group]
        assert left.split()[0].trials == pack.trials[1:2]
        (only,) = pack.without({trial.id for trial in first.trials}).split()
        assert only == second
        (quarter,) = left.split()[0].split()
        assert (quarter.trials, quarter.parents) == (pack.trials[1:2], (first.group, pack.group))
        with pytest.raises(ValueError, match="a pack of one"):
            quarter.split()
