"""Seeds by name: results rest on these values, so they stand here as numbers."""

from __future__ import annotations

import hashlib

from common.seeds import seed_of


def test_it_is_the_beginning_of_the_hash() -> None:
    whole = int(hashlib.sha256(b"evp|glue").hexdigest(), 16)
    assert [seed_of("evp|glue", size) for size in (4, 8, 16)] == [whole >> (256 - 8 * size) for size in (4, 8, 16)]


def test_values_that_results_rest_on() -> None:
    assert seed_of("evp|") == 15755664337150405860
    assert seed_of('["dropout",1,0]') >> 1 == 703849315620208627
