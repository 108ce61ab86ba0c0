"""What is shown of an MLflow URI, and of errors that name it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.servers import mlflow_server, running

from common.uris import masked
from search.tracking.mlflow_access import client, open_experiment, page_of, told


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://lab:s3cret@db/mlflow", "postgresql://***@db/mlflow"),
        ("postgresql://lab:s3/cr?t@db/mlflow", "postgresql://***@db/mlflow"),
        ("http://lab:s3@cret@[::1]:5000", "http://***@[::1]:5000"),
        ("postgresql://db/mlflow?user=lab&password=s3cret", "postgresql://db/mlflow?***"),
        ("postgresql://db/mlflow?sslpassword=s3cret&a=b", "postgresql://db/mlflow?***"),
        ("mysql+pymysql://db/mlflow?passwd=s3cret", "mysql+pymysql://db/mlflow?***"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dlab%3BPWD%3Ds3cret", "mssql+pyodbc:///?***"),
    ],
)
def test_passwords_are_not_told(uri: str, shown: str) -> None:
    assert masked(uri) == shown
    assert told(ValueError(f"no route to {uri}\nmore"), uri) == f"no route to {shown}"


def test_a_password_is_not_told_in_another_spelling_or_by_half() -> None:
    uri = "postgresql://db/mlflow?user=lab&password=s3+cr%25t"
    assert told(ValueError('no "s3 cr%t" and no "s3+cr%25t"'), uri) == 'no "***" and no "***"'
    assert "s3" not in told(ValueError("x" * 298 + "s3 cr%t"), uri)


@pytest.mark.parametrize("uri", ["sqlite:///runs/mlflow.db", "postgresql://db/mlflow", "http://127.0.0.1:9"])
def test_no_page_without_a_server_that_answers(uri: str) -> None:
    assert page_of("study", uri) is None


@pytest.mark.cluster
def test_the_page_of_an_experiment_on_a_server(tmp_path: Path) -> None:
    with running(mlflow_server(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")) as server:
        uri = f"http://127.0.0.1:{server.port}"
        assert page_of("study", uri) is None
        number = open_experiment(client(uri), "study", uri, tmp_path).experiment_id
        assert page_of("study", uri.replace("//", "//lab:s3cret@")) == f"{uri}/#/experiments/{number}"
