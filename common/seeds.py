"""Random numbers by name: every consumer has a stream of its own, whatever else draws numbers."""

from __future__ import annotations

import hashlib


def seed_of(name: str, size: int = 8) -> int:
    """The seed of a consumer: ``size`` bytes of the SHA-256 of its name, as a whole number.

    The name tells the consumer from all others and holds what its numbers depend on, such as the master seed and the
    epoch: ``seed_of("evp|glue|lora")``.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:size], "big")
