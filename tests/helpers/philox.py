"""Philox 4x32-10 in whole numbers of Python (Salmon et al., 2011), against which the GPU's kernel is held."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF


def philox(key: int, counter: Sequence[int]) -> tuple[int, ...]:
    """Four numbers of 32 bits for a key of 64 and four counters of 32."""
    keys, c = [key & _LOW, key >> 32 & _LOW], list(counter)
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * c[0], _MULTIPLIERS[1] * c[2]
        c = [second >> 32 ^ c[1] ^ keys[0], second & _LOW, first >> 32 ^ c[3] ^ keys[1], first & _LOW]
        keys = [(k + w) & _LOW for k, w in zip(keys, _WEYL, strict=True)]
    return tuple(c)


def check_kernel(device: str) -> None:
    """AssertionError unless the kernel drops what these numbers say, element by element, forwards and backwards."""
    from trainables._dropout_kernel import dropped

    # The first two of the test vectors that its authors publish with their library, Random123.
    assert philox(0, (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox(2**64 - 1, (_LOW,) * 4) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    members, outer, rows, columns = shape = 2, 3, 6, 7
    streams = torch.tensor([2**62 + 12345, 5], device=device)
    x = torch.randn(members * outer, rows, columns, device=device)
    cases = ((0.3, 1, 0, None), (0.1, 2**32 - 5, -(rows // 2), None), (0.1, 7, 4, None), (0.3, 9, 0, (0, 3)))
    for p, site, first, columns_before in cases:
        before = columns_before or (0,) * members  # a member's own columns are counted from the first behind them
        there = None if columns_before is None else torch.tensor(columns_before, device=device)
        got = dropped(x, p, shape, streams, site, first, there)
        keep = torch.tensor(
            [
                philox(int(streams[m]), (c // 4, (r + first) & _LOW, o, site))[c % 4] >= round(p * 2**32)
                for m in range(members)
                for o in range(outer)
                for r in range(rows)
                for c in ((column - before[m]) % columns for column in range(columns))
            ],
            device=device,
        ).view(x.shape)
        assert 0 < int(keep.sum()) < keep.numel()
        torch.testing.assert_close(got, torch.where(keep, x / (1 - p), 0.0))
