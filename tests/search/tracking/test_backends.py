"""The stores that a lab uses, as real servers: MLflow on PostgreSQL, and MLflow with users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from helpers.commands import refused
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
    Server,
    logged_runs,
    mlflow_server,
    running,
    until,
)
from helpers.stub_study import write_study
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from search import study
from search.tracking.mlflow_access import client, is_empty
from search.tracking.records import logged
from search.tracking.store import Store

pytestmark = [pytest.mark.timeout(900), pytest.mark.cluster]


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
