"""The options of a server: every mistake at once, sizes, and tokens that are in no message."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import options
from serving.options import Options, OptionsError


def test_nothing_is_a_file_of_defaults(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("")
    assert options.load(tmp_path / "o.yaml") == Options()


def test_replicas_are_a_number_or_a_range() -> None:
    assert options.checked({"replicas": 3}, "o").replicas == options.Replicas(min=3, max=3)
    assert options.checked({"replicas": {"max": 4, "requests": 8}}, "o").replicas.min == 1


def test_every_mistake_is_told_at_once() -> None:
    data = {
        "replicas": {"min": 3, "max": 2}, "gpus": -1, "cpus": "many", "limts": {}, "too_long": "shorten",
        "limits": {"rows": 50, "queue": 20, "byte": 1},
    }  # fmt: skip
    with pytest.raises(OptionsError) as caught:
        options.checked(data, "o.yaml")
    first, *told = str(caught.value).splitlines()
    assert first == "o.yaml: not valid options of a server, 6 problems"
    assert [line.split(":")[0].strip() for line in told] == [
        "replicas", "cpus = 'many'", "gpus = -1", "too_long = 'shorten'", "limits.byte = 1", "limts",
    ]  # fmt: skip
    assert "did you mean 'limits'" in told[-1]
    assert "did you mean 'bytes'" in told[-2]


def test_more_than_one_core_or_gpu_is_a_whole_number() -> None:
    assert options.checked({"cpus": 0.5, "gpus": 2}, "o").gpus == 2
    with pytest.raises(OptionsError, match=r"cpus = 1.5: must be a whole number where it is more than 1"):
        options.checked({"cpus": 1.5}, "o")


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_a_file_that_is_no_mapping(text: str, tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text(text)
    with pytest.raises(OptionsError, match=r"o\.yaml"):
        options.load(tmp_path / "o.yaml")


def test_a_request_fits_into_the_queue() -> None:
    with pytest.raises(OptionsError, match="queue must hold the rows of one request, but is 5 of 6"):
        options.checked({"limits": {"rows": 6, "queue": 5}}, "o")


@pytest.mark.parametrize(("text", "expected"), [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5K", 1_500), ("7", 7)])
def test_sizes(text: str, expected: int) -> None:
    assert options.size(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1", "0", "2PB", "1e9", "2 G B"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes such as 500MB"):
        options.size(text)


def test_a_token_is_read_without_the_end_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a-token_of.sixteen+\n")
    assert options.token(tmp_path / "t") == "a-token_of.sixteen+"


@pytest.mark.parametrize("content", [b"", b"short\n", b"two words that are long\n", b"sixteen-letters-\xc3\xa4\xff"])
def test_what_is_no_token_is_refused_and_not_repeated(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(OptionsError, match="holds no token") as caught:
        options.token(tmp_path / "t")
    assert not content.strip() or content.strip().decode("latin-1") not in str(caught.value)


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="cannot be read"):
        options.token(tmp_path / "none")
