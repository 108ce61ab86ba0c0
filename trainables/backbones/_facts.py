"""The sizes of a backbone: found once with the libraries, and remembered."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from trainables import hub
from trainables.backbones._known_configs import KNOWN_CONFIGS
from trainables.backbones._remembered import remembered, stamps
from trainables.backbones._seams import Spec
from trainables.backbones._sources import folder_of
from trainables.trial import BackboneSource


@lru_cache(maxsize=64)
def spec(source: BackboneSource) -> Spec:
    """The sizes of a backbone, from its config alone; errors as ``load``."""

    def find() -> Spec:
        from trainables.backbones import _loading

        return _loading.spec_of(_loading.config_of(source))

    config = config_named(source)
    found: Spec = find() if config is None else remembered(Spec, ["spec", *config], find)
    return found


def config_named(source: BackboneSource) -> list[Any] | None:
    """What stands for the config that ``load`` would take; ``None`` where that may change, or is yet to be fetched."""
    folder = folder_of(source.source)
    if folder is not None:
        return [str(folder), stamps(folder)]
    if hub.has("config.json", source.source, source.revision):
        return [source.source, source.revision] if hub.is_commit(source.revision) else None
    known = KNOWN_CONFIGS.get(source.source)
    return None if known is None or source.revision is not None else [source.source, known]
