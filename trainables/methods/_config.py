"""The settings that the ``Config`` of every method shares."""

from __future__ import annotations

from pydantic import ConfigDict

#: Frozen, so that a config can be hashed; unknown keys refused; and no conversion: ``rank: true`` or ``rank: "8"`` is
#: a mistake in a study and not a rank.
SETTINGS = ConfigDict(frozen=True, extra="forbid", strict=True)
