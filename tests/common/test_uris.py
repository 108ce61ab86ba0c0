"""What is shown of a URI, and of a text with URIs in it."""

from __future__ import annotations

import pytest

from common.uris import masked, masked_in, passwords

ODBC = "mssql+pyodbc:///?odbc_connect=DRIVER={ODBC Driver 18 for SQL Server};UID=sa;PWD=s3cret"


@pytest.mark.parametrize(
    ("uri", "shown", "secrets"),
    [
        ("postgresql://lab:s3cret@db/mlflow", "postgresql://lab:***@db/mlflow", {"s3cret"}),
        ("postgresql://lab:my secret@db/mlflow", "postgresql://lab:***@db/mlflow", {"my secret"}),
        ("postgresql://lab:s3%2Fcret@db", "postgresql://lab:***@db", {"s3%2Fcret", "s3/cret"}),
        ("http://lab:s3@cret@[::1]:5000", "http://lab:***@[::1]:5000", {"s3@cret"}),
        (ODBC, "mssql+pyodbc:///?odbc_connect=***", {ODBC.partition("connect=")[2]}),
    ],
)
def test_passwords(uri: str, shown: str, secrets: set[str]) -> None:
    assert masked(uri) == shown
    assert passwords(uri) == secrets


@pytest.mark.parametrize("uri", ["sqlite:////a:b@c/x.db", "http://lab@mlflow:5000", "http://mlflow:5000"])
def test_what_is_no_password_is_told(uri: str) -> None:
    assert masked(uri) == uri
    assert not passwords(uri)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:one@bucket is away", "s3://***@bucket is away"),
        ("s3://KEY@bucket and then me@home", "s3://***@bucket and then me@home"),
        ("postgresql://lab:two words@db/x?db-password=three&a=b", "postgresql://***@db/x?db-password=***&a=b"),
        ("http://minio:9000/a@b", "http://minio:9000/a@b"),
    ],
)
def test_every_uri_of_a_text_is_masked(text: str, shown: str) -> None:
    assert masked_in(text) == shown
