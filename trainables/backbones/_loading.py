"""From a source to a backbone, its tokenizer, or only its sizes. Never runs code from a model's repository.

The library's model and tokenizer classes are reached as ``transformers.Name``, which loads them only when they are
used: planning a study needs sizes alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, PretrainedConfig
from transformers.utils import logging

from trainables import hub
from trainables.backbones import _registry
from trainables.backbones._encoder import Backbone, describe
from trainables.backbones._identity import identity_of
from trainables.backbones._known_configs import KNOWN_CONFIGS
from trainables.backbones._seams import Spec
from trainables.backbones._sources import folder_of, location
from trainables.trial import BackboneSource


@lru_cache(maxsize=2)
def load(source: BackboneSource, dtype: torch.dtype = torch.float32) -> Backbone:
    """The pretrained backbone: frozen, in evaluation mode, on the CPU; the last two are kept in memory.

    In another precision than float32 it is a rounded copy of that one.
    Raises ValueError where the source is not found, its family is unknown, its files are not those that were
    resolved, or its weights do not fill the model.
    """
    if dtype != torch.float32:
        return deepcopy(load(source)).to(dtype)
    folder = folder_of(source.source)
    if folder is not None and source.identity and identity_of(folder) != source.identity:
        raise ValueError(f"the files of backbone {source.source!r} have changed since the study was read; start again")
    config = config_of(source)
    family = _registry.of_model_type(config.model_type)
    with quiet(), spared(source):
        try:
            model, report = transformers.AutoModel.from_pretrained(
                location(source),
                revision=source.revision or "main",
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # reported, and refused below with the names
                output_loading_info=True,
                **family.options,
            )
        except (OSError, SafetensorError) as error:
            raise ValueError(f"cannot load safetensors weights of backbone {source.source!r}: {error}") from error
    _check_complete(source, report)
    return Backbone(model, family).eval()


def unpretrained(source: BackboneSource, dtype: torch.dtype, device: torch.device | str) -> Backbone:
    """A backbone of the sizes of ``source`` with random weights, for measurements that ask no more; errors as ``spec``.

    Frozen, in evaluation mode, made on ``device``.
    """
    config = config_of(source)
    family = _registry.of_model_type(config.model_type)
    with quiet(), torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(config, **family.options)
    return Backbone(model, family).to(dtype).eval()


def _check_complete(source: BackboneSource, report: Mapping[str, Any]) -> None:
    """ValueError if the weights left a tensor of the model as it was made, which is random."""
    unfilled = sorted(report["missing_keys"]) + [f"{name} (wrong shape)" for name, *_ in report["mismatched_keys"]]
    if unfilled:
        raise ValueError(
            f"the weights of {source.source!r} must fill the whole encoder of its config.json, but {len(unfilled)} "
            f"tensors are not filled, such as {', '.join(unfilled[:3])}; give a complete pretrained encoder"
        )


def spec_of(config: PretrainedConfig) -> Spec:
    """The sizes of a backbone with this config, computed without building its model."""
    return describe(config, _registry.of_model_type(config.model_type))


def config_of(source: BackboneSource) -> PretrainedConfig:
    """The config of a source, of a known family: from its folder, the hub's cache, what we ship, or the hub."""
    folder = folder_of(source.source)
    config = _hub_config(source) if folder is None else _folder_config(folder)
    family = _registry.of_model_type(config.model_type)
    if getattr(config, "is_decoder", False):
        raise ValueError(f"a backbone is an encoder, but the config of {source.source!r} says is_decoder")
    if getattr(config, "position_embedding_type", None) not in (None, "absolute"):
        raise ValueError(
            f"{family.name} backbones have absolute positions, but the config of {source.source!r} says "
            f"position_embedding_type {config.position_embedding_type!r}, which transformers no longer computes"
        )
    return config


def _folder_config(folder: Path) -> PretrainedConfig:
    path = folder / "config.json"
    try:
        model_type = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    _registry.of_model_type(str(model_type))
    return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def _hub_config(source: BackboneSource) -> PretrainedConfig:
    """Known sizes come before the hub, so that planning the paper's studies waits for no network."""
    revision = source.revision or "main"
    try:
        return AutoConfig.from_pretrained(
            source.source, revision=revision, trust_remote_code=False, local_files_only=True
        )
    except OSError:
        pass  # not in the cache
    if source.source in KNOWN_CONFIGS and source.revision is None:
        values = dict(KNOWN_CONFIGS[source.source])
        return AutoConfig.for_model(values.pop("model_type"), **values)
    try:
        with hub.spared():
            return AutoConfig.from_pretrained(source.source, revision=revision, trust_remote_code=False)
    except OSError as error:
        raise ValueError(
            f"backbone {source.source!r} (revision {revision}) is neither in the local cache nor reachable on the hub; "
            f"check the id and the network, or give a folder: {error}"
        ) from error


def spared(source: BackboneSource) -> AbstractContextManager[None]:
    """Without waiting for a hub that does not answer; what is local never asks it."""
    return hub.spared() if folder_of(source.source) is None else nullcontext()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars and reports; what was set before is set again afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
