"""Checkpoints and weights on an S3-compatible store: keys, faults, and a training that goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from helpers.commands import refused, runner
from helpers.drivers import (
    aot,
    in_mlflow,
)
from helpers.servers import (
    ObjectStore,
    Server,
    object_store,
)
from helpers.stub_study import write_study

from search import study
from search.cli import _predictions, app
from search.planning.plan import plan
from trainables import training
from trainables.checkpoint import Storage
from trainables.trial import Pack

pytestmark = [pytest.mark.timeout(900), pytest.mark.cluster]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("s3")) as store:
        store.make_bucket("lab")
        yield store


@pytest.fixture
def keys(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The standard variables; a change of them is seen at once."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    return monkeypatch


def problem(uri: str) -> str:
    """What a check says of a storage that does not work."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(OSError, match=r"^s3://") as raised:
        Storage(uri).check()
    assert str(raised.value).count("\n") == 0
    return str(raised.value)


class TestS3:
    def test_an_interrupted_pack_gives_what_a_folder_gives(self, tmp_path: Path, keys: pytest.MonkeyPatch) -> None:
        """Two members with dropout, left after two epochs, gone on with from S3: bit for bit the run on a folder."""
        path = write_study(
            tmp_path,
            methods={"aot_fc": {"rank": 4}},
            resources={"cpu": 1, "pack_tokens": 4096},
            seeds=[0],
            protocol={"epochs": 4, "patience": 4, "max_length": 32, "train_rows": 32, "dev_rows": 24},
        )
        (pack,) = plan(study.load(path)).packs
        assert len(pack.trials) == 2
        folder, bucket = Storage(str(tmp_path / "folder")), Storage("s3://lab/study")
        whole = results(pack, folder, tmp_path)
        for progress in training.train(pack, workspace(bucket, tmp_path)):
            if progress.epoch == 2:
                break
        assert bucket.exists(f"checkpoints/{pack.group}.safetensors")
        assert results(pack, bucket, tmp_path) == whole
        for trial in pack.trials:
            for name in (f"weights/{trial.id}.safetensors", f"predictions/{trial.id}.npz"):
                assert bucket.read(name) == folder.read(name) is not None
        training.discard(pack, workspace(bucket, tmp_path))
        assert not bucket.exists(f"checkpoints/{pack.group}.safetensors")

    def test_what_does_not_work_says_so_in_one_line(self, s3: ObjectStore, keys: pytest.MonkeyPatch) -> None:
        Storage("s3://lab/a").check()
        assert problem("s3://nix/a") == (
            "s3://nix/a/.writable cannot be written (The specified bucket does not exist); "
            "make the bucket, or correct `storage` in the study"
        )
        keys.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-key")
        words = problem("s3://lab/a")
        assert words.endswith("; check the credentials and what they allow, then start again")
        assert "wrong-key" not in words
        keys.delenv("AWS_ACCESS_KEY_ID")
        keys.delenv("AWS_SECRET_ACCESS_KEY")
        words = "check that the store answers and takes your credentials, then start again"
        assert (
            problem("s3://lab/a") == f"s3://lab/a/.writable cannot be written (Unable to locate credentials); {words}"
        )
        for name, value in {**s3.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
            keys.setenv(name, value)
        assert problem("s3://lab/a").endswith(f'"http://127.0.0.1:9/lab/a/.writable"); {words}')

    def test_a_whole_study_on_s3_and_postgresql(
        self, tmp_path: Path, keys: pytest.MonkeyPatch, postgresql: tuple[Server, str]
    ) -> None:
        """The command, the real loop; the journal stays here, and the second run trains nothing."""
        changes = {
            "study": "far",
            "storage": "s3://lab/runs",
            "tracking": postgresql[1],
            "protocol": {"epochs": 2, "patience": 2, "max_length": 32, "train_rows": 16, "dev_rows": 16},
            "seeds": [0],
        }
        keys.chdir(tmp_path)
        missing = write_study(tmp_path, **{**changes, "storage": "s3://nix/runs"})
        last = refused("run", missing).splitlines()[-1]
        assert last.startswith("the study's storage does not work: s3://nix/runs/far/.writable")

        path = write_study(tmp_path, **changes)
        ended = aot("run", path, folder=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert "2 finished, 0 diverged, 0 failed; 0 were done before" in ended.stderr
        store = fsspec.filesystem("s3")
        ids = {trial.id for trial in plan(study.load(path)).trials}
        for kept in ("weights", "predictions"):
            assert {Path(name).stem for name in store.ls(f"lab/runs/far/{kept}")} == ids
        lookup = _predictions.reader([path])
        assert {len(kept.gold) for trial_id in ids if (kept := lookup(trial_id))} == {16}
        assert not store.exists("lab/runs/far/checkpoints"), "those of ended packs are discarded"
        assert (tmp_path / "runs" / "far" / "journal.jsonl").read_bytes().count(b"\n") == 2
        assert set(in_mlflow(study.load(path))) == ids
        again = runner.invoke(app, ["run", str(path)])
        assert (again.exit_code, "0 failed; 2 were done before" in again.stderr) == (0, True)


def workspace(storage: Storage, folder: Path) -> training.Workspace:
    return training.Workspace(storage.uri, str(folder / "cache"), threads=1)


def results(pack: Pack, storage: Storage, folder: Path) -> dict[str, tuple[object, ...]]:
    """Train a pack to its end: what each member reached, but for the time it took."""
    ended = [r for progress in training.train(pack, workspace(storage, folder)) for r in progress.results]
    return {
        r.trial_id: (r.status, r.score, r.best_epoch, [(e.epoch, e.score, e.train_loss) for e in r.history], r.metrics)
        for r in ended
    }
