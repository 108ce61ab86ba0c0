"""The stores that a lab uses, as real servers: MLflow on PostgreSQL, MLflow with users, and an S3-compatible store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec
import psutil
import pytest
from helpers.commands import refused, runner
from helpers.drivers import (
    aot,
    assert_nothing_lost,
    count,
    in_journal,
    in_mlflow,
    lines,
    ray_address,
    start,
    through_an_outage,
)
from helpers.servers import (
    ADMIN,
    ADMIN_PASSWORD,
    PASSWORD,
    ObjectStore,
    Server,
    logged_runs,
    mlflow_server,
    object_store,
    postgres,
    running,
    until,
)
from helpers.stub_study import write_study
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from search import study
from search.cli import app
from search.planning.plan import plan
from search.tracking.mlflow_access import client, is_empty
from search.tracking.records import logged
from search.tracking.store import Store
from trainables import training
from trainables.checkpoint import Storage
from trainables.trial import Pack

pytestmark = [pytest.mark.timeout(900), pytest.mark.cluster]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[tuple[Server, str]]:
    with postgres() as server_and_uri:
        yield server_and_uri


@dataclass(frozen=True)
class Lab:
    """An MLflow server with users, on PostgreSQL."""

    uri: str

    def as_user(self, name: str, password: str = "") -> dict[str, str]:
        """What a user sets to be known."""
        return {
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": password or f"the password of {name}",
        }

    def make_users(self, *names: str) -> None:
        with self._administrator() as server:
            for name in names:
                server.create_user(name, f"the password of {name}")

    def allow(self, user: str, permission: str, experiment: str = "stub") -> None:
        """Give a user this permission on the experiment, in place of any other."""
        from mlflow import MlflowClient, MlflowException

        with self._administrator() as server:
            known = MlflowClient(self.uri).get_experiment_by_name(experiment)
            assert known is not None
            with suppress(MlflowException):  # it has none yet
                server.revoke_user_permission(user, "experiment", known.experiment_id)
            server.grant_user_permission(user, "experiment", known.experiment_id, permission)

    @contextmanager
    def known_as(self, name: str, password: str = "") -> Iterator[None]:
        """This process is a user's, for a while."""
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in self.as_user(name, password).items():
                patch.setenv(variable, value)
            yield

    @contextmanager
    def _administrator(self) -> Iterator[object]:
        from mlflow.server import get_app_client

        with self.known_as(ADMIN, ADMIN_PASSWORD):
            yield get_app_client("basic-auth", tracking_uri=self.uri)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, postgresql: tuple[Server, str]) -> Iterator[Lab]:
    server = mlflow_server(tmp_path_factory.mktemp("lab"), postgresql[1], auth=True)
    with running(server):
        lab = Lab(f"http://127.0.0.1:{server.port}")
        lab.make_users("writer", "reader", "stranger")
        yield lab


class TestPostgreSQL:
    @pytest.mark.usefixtures("ray_two_cpus")
    def test_a_study_while_the_database_is_stopped_and_started(
        self, tmp_path: Path, postgresql: tuple[Server, str]
    ) -> None:
        """Everything arrives, once; and nobody sees the password."""
        server, uri = postgresql
        path = write_study(tmp_path, {"seconds": 0.3}, study="direct", seeds=[0, 1, 2, 3, 4, 5], tracking=uri)
        hold = tmp_path / "runs" / "direct" / "hold"
        driver = start(path, address=ray_address())
        try:
            until(lambda: lines(path) >= 1)
            hold.touch()
            until(lambda: logged_runs(uri, "direct") >= 1)  # MLflow waits for minutes while it connects
            hold.unlink()
            processes = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
            commands = [" ".join(process.cmdline()) for process in processes]
            said = through_an_outage(driver, path, hold, server.stop, server.start)
        finally:
            driver.kill()
            server.start()
        assert count(said, "MLflow at postgresql://***@127.0.0.1", " cannot be written (") == 1
        assert_nothing_lost(path)
        assert any("search.tracking.mlflow_process" in command for command in commands)
        written = [file.read_bytes() for file in (tmp_path / "runs").rglob("*") if file.is_file()]
        assert PASSWORD not in "".join([*commands, *said])
        assert not any(PASSWORD.encode() in content for content in written)

    def test_whoever_only_looks_makes_no_tables(self, postgresql: tuple[Server, str]) -> None:
        """As ``aot plan`` does before the first run."""
        _, uri = postgresql
        with create_engine(uri, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
            connection.execute(text("CREATE DATABASE looked_at"))
        fresh = f"{uri.rsplit('/', 1)[0]}/looked_at"
        assert is_empty(fresh)
        assert logged("nothing", fresh, print).records == {}
        assert is_empty(fresh)
        client(fresh)
        assert not is_empty(fresh)

    def test_a_password_in_the_environment(
        self, tmp_path: Path, postgresql: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """libpq's own variable keeps it out of the study."""
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        uri = postgresql[1].replace(f":{PASSWORD}", "")
        said: list[str] = []
        with Store("environment", str(tmp_path / "environment"), uri, said.append) as store:
            assert store.records() == {}
            store.expect_results()
        assert [line for line in said if "is taking in the last results" not in line] == []

    def test_who_is_not_known(self, tmp_path: Path, postgresql: tuple[Server, str]) -> None:
        path = write_study(tmp_path, tracking=postgresql[1].replace(PASSWORD, "anothersecret"))
        ended = aot("run", path)
        assert (ended.returncode, ended.stdout) == (2, "")
        (line,) = ended.stderr.splitlines()
        assert line.startswith("MLflow at postgresql://***@127.0.0.1:")
        assert 'password authentication failed for user "lab"' in line
        assert line.endswith("; check user, password and database, or ask whoever runs it")
        assert not (tmp_path / "runs" / "stub" / "journal.jsonl").exists() or not lines(path)

    def test_a_password_in_the_query(self, tmp_path: Path, postgresql: tuple[Server, str]) -> None:
        """PostgreSQL takes it there; it is shown no more than behind the user's name."""
        place = postgresql[1].partition("@")[2]
        Store(
            "query", str(tmp_path), f"postgresql://{place}?user=lab&password={PASSWORD}", pytest.fail
        ).expect_results()
        path = write_study(tmp_path, tracking=f"postgresql://{place}?user=lab&password=anothersecret")
        words = refused("run", path)
        assert words.startswith(f"MLflow at postgresql://{place}?*** cannot be used (")
        assert "anothersecret" not in words


class TestUsers:
    """MLflow's basic-auth app: who may, and who may not."""

    @pytest.fixture
    def path(self, tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A study that ``writer`` has run."""
        for name, value in lab.as_user("writer").items():
            monkeypatch.setenv(name, value)
        return write_study(tmp_path, study=tmp_path.name, seeds=[0], tracking=lab.uri)

    @pytest.mark.usefixtures("ray_two_cpus")
    def test_who_may_and_who_may_not(self, tmp_path: Path, lab: Lab, path: Path) -> None:
        name = study.load(path).name
        driver = start(path, address=ray_address())
        assert driver.communicate(timeout=300)[0].startswith('{"finished": 2')
        assert_nothing_lost(path)

        lab.allow("reader", "READ", name)
        write_study(tmp_path, study=name, seeds=[0, 1], tracking=lab.uri)
        passwords = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        where = f"MLflow at {lab.uri}"
        other = f"on experiment {name!r}; ask whoever runs the server for it, or set {passwords} of another user\n"
        not_for_strangers = f"{where} refuses user 'stranger' READ permission {other}"
        ended = aot("run", path, environment=lab.as_user("stranger"))  # as a process: libraries say nothing besides
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", not_for_strangers)
        with lab.known_as("stranger"):
            for command in (["run", path], ["plan", path], ["report", path, "--out", tmp_path / "r"],
                            ["export", path, "--out", tmp_path / "runs.csv"]):  # fmt: skip
                assert refused(*command) == not_for_strangers, command
        with lab.known_as("reader"):
            last = refused("run", path).splitlines()[-1]
            assert last + "\n" == f"{where} refuses user 'reader' EDIT permission {other}"
        with lab.known_as("reader", "a wrong password"):
            words = f"{where} does not know user 'reader' with the password given; check {passwords}\n"
            assert refused("plan", path) == words
        with lab.known_as(""):
            assert refused("plan", path) == f"{where} wants a user and a password; set {passwords}\n"
        assert len(in_journal(study.load(path))) == 2, "nothing was trained"

    @pytest.mark.usefixtures("ray_two_cpus")
    def test_a_permission_is_taken_away_in_the_middle(self, tmp_path: Path, lab: Lab, path: Path) -> None:
        """The journal keeps the results, and the words say so; when it is given again, all arrives."""
        name = study.load(path).name
        write_study(tmp_path, {"seconds": 0.3}, study=name, seeds=[0, 1, 2], tracking=lab.uri)
        hold = tmp_path / "runs" / name / "hold"
        driver = start(path, address=ray_address())
        try:
            until(lambda: lines(path) >= 1)
            hold.touch()
            lab.allow("writer", "READ", name)
            hold.unlink()
            said = driver.communicate(timeout=300)[1].splitlines()
        finally:
            driver.kill()
        assert driver.returncode == 0
        assert count(said, "refuses user 'writer' EDIT permission on", name, "; the journal keeps every result") == 1
        assert count(said, "some results are in the journal alone; the next aot run of this study sends them") == 1
        assert len(in_journal(study.load(path))) == 6 > len(in_mlflow(study.load(path)))

        lab.allow("writer", "MANAGE", name)
        driver = start(path, address=ray_address())
        assert '"skipped": 6' in driver.communicate(timeout=300)[0]
        assert_nothing_lost(path)


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
            name = f"weights/{trial.id}.safetensors"
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
        assert {Path(name).stem for name in store.ls("lab/runs/far/weights")} == ids
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
