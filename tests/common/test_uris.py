"""What is shown of a URI."""

from __future__ import annotations

import pytest

from common.uris import masked, passwords


@pytest.mark.parametrize("uri", ["sqlite:////a:b@c/x.db", "http://lab@mlflow:5000", "http://mlflow:5000"])
def test_what_is_no_password_is_told(uri: str) -> None:
    assert masked(uri) == uri
    assert not passwords(uri)


def test_every_uri_of_a_text_is_masked() -> None:
    text = "s3://key:one@bucket is away; postgresql://lab:two@db/x?password=three&a=b too (mail: me@home)"
    shown = "s3://key:***@bucket is away; postgresql://lab:***@db/x?password=***&a=b too (mail: me@home)"
    assert masked(text) == shown


def test_passwords_in_both_spellings() -> None:
    assert passwords("postgresql://lab:s3%2Fcret@db") == {"s3%2Fcret", "s3/cret"}
