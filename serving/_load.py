"""From a folder of artifacts to an engine that serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.options import Service

if TYPE_CHECKING:
    from serving.artifact import Artifact
    from serving.engine import Engine
    from trainables.trial import BackboneSource


def found(service: Service, *, verify: bool) -> tuple[BackboneSource, list[Artifact]]:
    """The backbone as it is on this machine, and the artifacts of it in the folder.

    ``verify``: also compare large files with their hashes.

    Raises:
        ValueError: an artifact is damaged; there is none; the backbone is not found, is not the one that the artifacts
            were trained on, or must be named as they are of several.
    """
    from serving import artifact
    from trainables import backbones

    artifacts = artifact.find(service.folder, verify)
    wanted = service.backbone
    names = sorted({one.backbone.name for one in artifacts})
    chosen = [one for one in artifacts if wanted is None or wanted in (one.backbone.name, one.backbone.source)]
    if len({one.backbone.identity for one in chosen}) > 1:
        raise ValueError(f"{service.folder} holds artifacts of {', '.join(names)}; choose one with --backbone")
    if chosen:
        said = chosen[0].backbone
        source = backbones.resolve(said.source, said.name, said.revision)
        chosen[0].check_backbone(source)
        return source, chosen
    source = backbones.resolve(str(wanted))
    chosen = [one for one in artifacts if one.backbone.identity == source.identity]
    if not chosen:
        raise ValueError(
            f"no artifact in {service.folder} was trained on {wanted} ({source.identity}); "
            f"they are of {', '.join(names)}"
        )
    return source, chosen


def engine(service: Service, *, verify: bool, threads: int | None = None) -> tuple[Engine, str]:
    """An engine with all of them, and its backbone's name; ``threads`` as it takes them. ValueError as ``found``."""
    from serving.engine import Engine

    source, artifacts = found(service, verify=verify)
    made = Engine(
        source,
        device=service.device,
        precision=service.options.precision,
        rows=service.rows,
        cache_bytes=service.cache_bytes,
        too_long=service.options.too_long,
        threads=threads,
    )
    for each in artifacts:
        made.add(each)
    return made, source.name
