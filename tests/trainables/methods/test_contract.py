"""What every method promises, for every method and every family found in the folders.

README's example of a method keeps the same promises, and so do those of ``helpers/added.py``: they are added to the
folder for these tests. A method with choices is tested in each of its forms.
"""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import paper
from helpers.added import ADDED
from helpers.configs import OF_EVERY_TRIAL, accepted, configs, is_number, kinds
from helpers.contract import NAMES, every_family, every_form, every_method, generator
from helpers.families import FAMILIES, tiny_batch
from helpers.members import (
    hidden,
    moved_member,
    shared_backbone,
    small_method,
    stacked,
)
from pydantic import BaseModel, ValidationError

from trainables import head, methods
from trainables.backbones import Spec
from trainables.checkpoint import Storage
from trainables.methods import SETTINGS, Method, trainable

pytestmark = pytest.mark.usefixtures("added_methods", "frozen_backbones")


def test_the_folder_is_the_registry() -> None:
    assert set(methods.names()) >= {*paper.METHODS, *ADDED}
    assert not set(NAMES) & set(methods.__all__), "a file with this name would hide what the package offers"
    labels = Counter(methods.get(name).label for name in NAMES)
    assert not [label for label, times in labels.items() if times > 1], "two methods have the same label"
    with pytest.raises(ValueError, match=r"unknown method 'prompt'; known: adapters, .*p_tuning_v2"):
        methods.get("prompt")


@every_method
def test_what_a_method_needs_of_ours_comes_from_one_place(name: str) -> None:
    source = Path(inspect.getsourcefile(methods.get(name))).read_text(encoding="utf-8")
    modules = {node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.partition(".")[0] in ("trainables", "search", "analysis", "common")}
    assert ours <= {"trainables.methods"}, "import it from trainables.methods"


@every_method
def test_config(name: str) -> None:
    config_type = methods.get(name).Config
    required = [field for field, info in config_type.model_fields.items() if info.is_required()]
    assert not required, "every hyperparameter has a default"
    config = config_type()
    assert set(config.model_dump()) == set(config_type.model_fields)
    assert config_type(**config.model_dump()) == config
    assert not OF_EVERY_TRIAL & set(config_type.model_fields), "every trial has these; give yours another name"
    assert config_type.model_config.items() >= SETTINGS.items(), "model_config = SETTINGS is missing"
    with pytest.raises(ValidationError, match="frozen"):
        config.anything = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        config_type(forgetting=123)


@every_method
def test_hyperparameters(name: str) -> None:
    """Each is described and takes no value of another kind; a number has a range, and NaN is not in it."""
    config, sizes = methods.get(name).Config, methods.get(name).sizes
    for field, info in config.model_fields.items():
        assert info.description, f"{field} has no description"
        if is_number(info):
            wrong = {True, "1", float("nan")} - ({True} if bool in kinds(info) else set())
            huge = [value for value in (-(10**30), 10**30) if accepted(config, field, value)]
            assert len(huge) < 2, f"{field} has no range: give it one, such as Field({info.default}, gt=0)"
            assert field not in sizes or not accepted(config, field, -1), f"{field} is a size: none is below zero"
        else:
            wrong = {10**30, float("nan")} | ({"no such value"} if str not in kinds(info) else set())
        taken = [value for value in wrong if accepted(config, field, value)]
        assert not taken, f"{field} takes {taken}"


@every_form
@every_family
def test_count_equals_the_tensors(name: str, values: dict[str, Any], family: str) -> None:
    backbone = shared_backbone(family)
    method = small_method(name, backbone, **values)
    tensors = method.initial(backbone, generator())
    elements = {key: tensor.numel() for key, tensor in trainable(tensors).items()}
    assert method.count() == sum(elements.values()), f"count() against the elements of what is trained: {elements}"
    assert {tensor.dtype for tensor in trainable(tensors).values()} <= {torch.float32}, "what is trained is float32"
    assert {tensor.device.type for tensor in tensors.values()} <= {"cpu"}, "fresh tensors are on the CPU"
    assert not any(tensor.requires_grad for tensor in tensors.values())
    assert not [key for key in tensors if key.startswith(head.PREFIX)], "these names belong to the head"


@every_method
def test_sizes_are_the_hyperparameters_that_change_the_count(name: str) -> None:
    spec = shared_backbone("bert").spec
    kind = methods.get(name)
    assert set(kind.sizes) <= set(kind.Config.model_fields)
    for field in kind.Config.model_fields:
        every = {config: counted(kind, config, spec) for config in configs(kind.Config, field)}
        counts = [count for count in every.values() if count is not None]
        assert len(counts) > 1, f"values of {field} to compare are missing in helpers/configs.py"
        assert (len(set(counts)) > 1) == (field in kind.sizes), f"{field} in `sizes`? It gives the counts {set(counts)}"


def counted(kind: type[Method], config: BaseModel, spec: Spec) -> int | None:
    """The count, or None where the method says that the backbone is too small for these values."""
    try:
        return kind(config, spec).count()
    except ValueError:
        return None


@every_form
def test_initial_depends_on_the_generator_alone(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    method = small_method(name, backbone, **values)
    state, sources = torch.get_rng_state(), [generator(seed) for seed in (1, 1, 2)]
    first, again, other = (method.initial(backbone, source) for source in sources)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = not torch.equal(sources[0].get_state(), generator(1).get_state())
    assert any(not torch.equal(first[key], other[key]) for key in first) == drawn


@every_form
def test_saved_and_loaded(name: str, values: dict[str, Any], tmp_path: Path) -> None:
    backbone = shared_backbone("deberta_v2" if "deberta_v2" in FAMILIES else FAMILIES[0])
    method = small_method(name, backbone, **values)
    member, batch = moved_member(method, backbone), tiny_batch(backbone)
    Storage(str(tmp_path)).write_tensors("member.safetensors", member, {})
    loaded, _ = Storage(str(tmp_path)).read_tensors("member.safetensors")
    states = [hidden(backbone, method, stacked([m]), batch) for m in (member, loaded)]
    assert torch.equal(states[0], states[1])


@every_form
def test_a_prompt_takes_as_many_positions_as_its_method_says(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    batch = tiny_batch(backbone)
    method = small_method(name, backbone, **values)
    seams = method.seams(stacked([moved_member(method, backbone)]), backbone, batch)
    length = backbone(batch, seams).shape[1]
    assert methods.prompt_tokens(method) == length - batch.input_ids.shape[1]


@every_form
def test_a_method_that_reads_the_distinct_tokens_says_so(name: str, values: dict[str, Any]) -> None:
    backbone = shared_backbone("bert")
    method = small_method(name, backbone, **values)
    params = stacked([moved_member(method, backbone)])
    without = replace(tiny_batch(backbone), tokens=None)
    if methods.distinct_tokens(method):
        with pytest.raises(ValueError, match=r"batch\.distinct is there for methods that ask for it"):
            hidden(backbone, method, params, without, training=True)
    else:
        hidden(backbone, method, params, without, training=True)
