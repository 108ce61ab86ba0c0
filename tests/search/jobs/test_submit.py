"""What is sent to a cluster, and what can go wrong on the way; ``test_submit_cluster.py`` has a real one."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray
from helpers.commands import forget_clusters, refused
from helpers.films import write_study
from helpers.ports import free_port

from search import study
from search.jobs import _upload, submit
from search.jobs.cluster import _url

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_clusters(monkeypatch, tmp_path)


# --- The address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["ray://head:10001", "head:6379", "auto", "http://", "8265"])
def test_an_address_that_cannot_work_is_told(address: str) -> None:
    words = refused("list", "--address", address)
    assert words.count("\n") == 1
    assert repr(address) in words
    assert "http://HOST:PORT" in words
    assert ("Ray Client" in words) == address.startswith("ray:")


@pytest.mark.parametrize("password", ["secret", "secret/more", "1/secret", "secret#more", "secret?more"])
def test_a_password_in_an_address_is_not_shown(password: str) -> None:
    """Also one with a /, before which others take it for a host or a port."""
    words = refused("list", "--address", f"http://me:{password}@head:8265")
    assert words.startswith("an address holds no user or password, as http://***@head:8265 does; put the cluster's")
    assert "secret" not in words


@pytest.mark.parametrize("address", ["http://[", "http://head:port", "http://head:99999"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    words = refused("list", "--address", address)
    assert f"{address!r} is no address (" in words
    assert "Traceback" not in words


def test_nobody_at_the_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in (["list"], ["status", "x"], ["logs", "x"], ["logs", "-f", "x"], ["stop", "x"]):
        words = refused(*command, "--address", url)
        assert words.startswith(f"no Ray cluster answers at {url}; is it up, and the tunnel to it (ssh -L ")
        assert words.count("\n") == 1


def test_somebody_else_at_the_address() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>another page</html>")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert "is no Ray dashboard" in refused("list", "--address", f"http://127.0.0.1:{server.server_port}")
        words = refused("list", "--address", f"https://127.0.0.1:{server.server_port}")
        assert words.endswith(" does not speak https as it should; try http://\n")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:8265"),
        ({"RAY_ADDRESS": "http://a:1"}, "http://a:1"),
        ({"RAY_ADDRESS": "http://a:1", "RAY_API_SERVER_ADDRESS": "http://b:2/"}, "http://b:2"),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),  # for ray.init, and none of ours
    ],
)
def test_the_address_comes_from_rays_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], address: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _url(None) == address
    assert _url("https://c:3") == "https://c:3"  # what was asked for wins


# --- What is sent -----------------------------------------------------------------------------------------------------


def test_a_mistake_in_the_study_is_told_before_the_cluster_is_asked(tmp_path: Path) -> None:
    path = write_study(tmp_path, seeds=[1, 1], methods={"lora": {"rank": [0]}})
    words = refused("submit", path, "--address", f"http://127.0.0.1:{free_port()}")
    assert "2 problems" in words
    assert "no Ray cluster" not in words


def test_the_code_and_the_study_are_sent_and_nothing_else(tmp_path: Path) -> None:
    path, stage = write_study(tmp_path / "mine"), tmp_path / "stage"
    name, files, size = _upload.stage(path, stage)
    sent = {str(file.relative_to(stage)) for file in stage.rglob("*") if file.is_file()}
    code = {str(file.relative_to(ROOT)) for part in _upload.PACKAGES for file in (ROOT / part).rglob("*.py")}
    assert name == "study/films.yaml"
    assert {file for file in sent if file.endswith(".py")} == code
    assert {file for file in sent if file.startswith("study/")} == {name, "study/data/train.csv", "study/data/dev.csv"}
    assert not [file for file in sent if "__pycache__" in file or "/." in file]
    assert (files, size) == (len(sent), sum((stage / file).stat().st_size for file in sent))
    assert size < 5e6


def test_files_keep_their_place_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "glue" / "rte").mkdir(parents=True)
    (tmp_path / "glue" / "rte" / "train.parquet").write_bytes(b"rows")
    files = {"train": ["../shared/a.csv", "/elsewhere/b.csv"], "dev": "dev.csv"}
    task = {"name": "mine/films", "files": files, "text": "t"}
    path = write_study(tmp_path / "studies", tasks=[task], data_dir="../glue")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.csv").write_text("t,label\n")
    (tmp_path / "studies" / "dev.csv").write_text("t,label\n")
    name, _, _ = _upload.stage(path, tmp_path / "stage")
    assert name == "study/studies/films.yaml"
    sent = {str(f.relative_to(tmp_path / "stage" / "study")) for f in (tmp_path / "stage" / "study").rglob("*.*")}
    assert sent == {"studies/films.yaml", "studies/dev.csv", "shared/a.csv", "glue/rte/train.parquet"}


def test_files_that_cannot_travel_are_told(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with open(tmp_path / "data" / "train.csv", "r+b") as file:
        file.truncate(_upload.MAX_BYTES + 1)
    with pytest.raises(_upload.UploadError, match=r"up to 50 MB, .* 50 MB at least in .*train\.csv; .*absolute path"):
        _upload.stage(path, tmp_path / "stage")
    (tmp_path / "data" / "train.csv").unlink()
    with pytest.raises(_upload.UploadError, match=r"train\.csv, which does not exist"):
        _upload.stage(path, tmp_path / "stage")
    assert not (tmp_path / "stage").exists()


def with_links(folder: Path) -> Path:
    """A study whose data folder is mostly links: to a file and a folder elsewhere, to nothing, and to itself."""
    (folder / "far").mkdir(parents=True)
    (folder / "far" / "train.parquet").write_bytes(b"rows")
    data = folder / "studies" / "data"
    path = write_study(folder / "studies", data_dir="data")
    for name, to in {"folder": "far", "file": "far/train.parquet", "nothing": "nowhere", "loop": "studies"}.items():
        (data / name).symlink_to(folder / to)
    (data / "loop" / "data" / ".hidden").write_bytes(b"x" * 1_000)
    return path


def test_what_links_lead_to_travels(tmp_path: Path) -> None:
    path, stage = with_links(tmp_path), tmp_path / "stage"
    _, files, _ = _upload.stage(path, stage)
    data = stage / "study" / "data"
    own = {"train.csv", "dev.csv", "file", "folder/train.parquet", "loop/films.yaml"}
    assert {str(f.relative_to(data)) for f in data.rglob("*") if f.is_file()} == own
    assert not any(f.is_symlink() for f in stage.rglob("*"))
    assert files == sum(f.is_file() for f in stage.rglob("*"))


def test_what_links_lead_to_counts_and_what_stays_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_links(tmp_path)
    monkeypatch.setattr(_upload, "MAX_BYTES", 10_000)
    (tmp_path / "studies" / "data" / ".git").write_bytes(b"x" * 20_000)
    _upload.stage(path, tmp_path / "stage")
    (tmp_path / "far" / "train.parquet").write_bytes(b"x" * 20_000)
    with pytest.raises(_upload.UploadError, match="travel with it up to"):
        _upload.stage(path, tmp_path / "other")


def send(cluster: submit.Cluster, path: Path) -> None:
    submit.submit(cluster, study.load(path, bind=False), path, print)


def test_a_cluster_with_another_ray_is_told_both_versions(tmp_path: Path) -> None:
    other = submit.Cluster("http://head:8265", "2.9.0", None)  # type: ignore[arg-type] - it is not asked
    with pytest.raises(submit.SubmitError, match=rf"runs Ray 2\.9\.0, and here is Ray {ray.__version__}; .*Dockerfile"):
        send(other, write_study(tmp_path))


@pytest.mark.parametrize(
    ("key", "uri", "words"),
    [
        ("tracking", "http://me:hush@mlflow:5000", "MLFLOW_TRACKING_URI on the head"),
        ("tracking", "postgresql://db/mlflow?user=me&password=hush", "MLFLOW_TRACKING_URI on the head"),
        ("storage", "s3://KEY:hush@bucket/folder", "AWS_SECRET_ACCESS_KEY, or a role"),
    ],
)
def test_a_password_does_not_travel(tmp_path: Path, key: str, uri: str, words: str) -> None:
    path = write_study(tmp_path, **{key: uri})
    path.write_text(path.read_text().replace(uri, '"' + uri.replace("@", "\\x40") + '"'))  # as YAML may write it
    cluster = submit.Cluster("http://head:8265", ray.__version__, None)  # type: ignore[arg-type] - it is not asked
    with pytest.raises(submit.SubmitError, match=words) as caught:
        send(cluster, path)
    assert "hush" not in str(caught.value)


# --- Where results go by default --------------------------------------------------------------------------------------


def test_the_nodes_variables_say_where_results_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    here = study.load(path, bind=False)
    assert (here.storage, here.tracking) == (f"{tmp_path}/runs", f"sqlite:///{tmp_path}/runs/mlflow.db")
    monkeypatch.setenv("AOT_STORAGE", "s3://bucket/aot")
    assert study.load(path, bind=False).folder == "s3://bucket/aot/films"
    assert study.load(path, bind=False).tracking == here.tracking
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert study.load(path, bind=False).tracking == "http://127.0.0.1:5000"
    own = study.load(write_study(tmp_path, storage=str(tmp_path / "x"), tracking="sqlite:////y.db"), bind=False)
    assert (own.storage, own.tracking) == (f"{tmp_path}/x", "sqlite:////y.db")


@pytest.mark.parametrize("uri", ["postgres://me:hush@db/mlflow", "postgres://db/mlflow?password=hush"])
def test_a_wrong_variable_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(study.StudyError, match="MLFLOW_TRACKING_URI") as caught:
        study.load(write_study(tmp_path), bind=False)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("confirm", "told"), [(None, ""), (3, " --confirm 3"), (0, " --confirm 0")])
def test_how_many_fresh_seeds_travels(confirm: int | None, told: str) -> None:
    assert submit.entrypoint("study/films.yaml", confirm).partition("films.yaml --address auto")[2] == told
