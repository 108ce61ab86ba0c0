"""The contract of a method catches what breaks it, and says what: README's example, each time with one mistake."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.added import added, python_of_readme
from helpers.configs import forms
from helpers.members import changed_backbones, shared_backbone

CONTRACT: dict[str, Callable[..., None]] = {
    name: found
    for file in ("test_contract.py", "test_contract_passes.py")
    for name, found in runpy.run_path(str(Path(__file__).with_name(file))).items()
}


class Mistake(NamedTuple):
    right: str  # what README's example says
    wrong: str  # what stands there instead
    test: str  # of the contract, without ``test_``
    message: str


ZEROS, ADDED_BIAS, LAYERS = "torch.zeros(self.shape)", "bias.unsqueeze(1)", "layers = by_layer(params)"
FIELD = 'scale: float = Field(1.0, gt=0, description="what the vector is multiplied by")'
GRADIENTS = "gradients_reach_what_is_trained_and_nothing_else"
DROPPED = "torch.nn.functional.dropout(bias, 0.5{}).unsqueeze(1)"
OURS = '__import__("trainables.dropout").dropout.of_examples(bias.unsqueeze(1), 0.5, batch, "bias", layer)'
MISTAKES = {
    "count": Mistake("* self.shape[1]", "* self.shape[1] + 1", "count_equals_the_tensors", r"count\(\) against"),
    "float64": Mistake(ZEROS, "torch.zeros(self.shape).double()", "count_equals_the_tensors", "is float32"),
    "name_of_the_head": Mistake('"bias"', '"head.bias"', "count_equals_the_tensors", "belong to the head"),
    "detached": Mistake('["bias"]', '["bias"].detach()', GRADIENTS, "no gradient reaches what is trained"),
    "unused": Mistake(ZEROS, f'{ZEROS}, "more": {ZEROS}', GRADIENTS, "no gradient reaches more"),
    "without_effect": Mistake("self.scale *", "0 * self.scale *", GRADIENTS, "bias has no effect"),
    "backbone": Mistake(LAYERS, f"{LAYERS}; backbone.requires_grad_(True)", GRADIENTS, "trained: backbone"),
    "start": Mistake(ZEROS, "torch.ones(self.shape)", "backbone_as_it_is_at_the_start", "nothing else that is fresh"),
    "global_generator": Mistake(
        ZEROS, "1e-9 * torch.randn(self.shape)", "initial_depends_on_the_generator_alone", "the global generator"
    ),
    "members": Mistake(
        ADDED_BIAS, "bias.mean(0, True).unsqueeze(1)", "a_pack_of_three_equals_three_alone", "feel each other"
    ),
    "random": Mistake(ADDED_BIAS, DROPPED.format(""), "dropout_only_in_training", "two evaluations differ"),
    "remembers": Mistake(LAYERS, f"{LAYERS}; self.scale += 1", "dropout_only_in_training", "two evaluations differ"),
    "other_streams": Mistake(
        ADDED_BIAS,
        DROPPED.format(", batch.streams is not None"),
        "dropout_only_in_training",
        "must come from `dropout`",
    ),
    "other_dropout": Mistake(ADDED_BIAS, OURS, "dropout_only_in_training", "is a hyperparameter `dropout`"),
    "of_every_trial": Mistake(FIELD, f"{FIELD}; {FIELD.replace('scale', 'batch_size')}", "config", "every trial has"),
    "no_default": Mistake("Field(1.0, gt=0", "Field(gt=0", "config", "every hyperparameter has a default"),
    "no_settings": Mistake("model_config = SETTINGS", "pass", "config", "SETTINGS is missing"),
    "no_range": Mistake("Field(1.0, gt=0", "Field(1.0", "hyperparameters", "scale has no range"),
    "no_description": Mistake("description=", "title=", "hyperparameters", "scale has no description"),
    "no_size": Mistake(
        '"Layer bias", ()', '"Layer bias", ("scale",)', "sizes_are_the_hyperparameters_that_change_the_count", "`sizes`"
    ),
}
ONCE = ("config", "hyperparameters", "sizes_are_the_hyperparameters_that_change_the_count")  # whatever the form
ON_BERT = ("initial_depends_on_the_generator_alone", "dropout_only_in_training")


@pytest.fixture
def with_mistake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The example among the methods, with a mistake."""
    name = f"wrong_{request.param}"
    right, wrong, _, _ = MISTAKES[request.param]
    source = python_of_readme("class LayerBias:")
    assert right in source
    with added(tmp_path):
        (tmp_path / f"{name}.py").write_text(source.replace(right, wrong), encoding="utf-8")
        yield name
    changed_backbones()


def check(name: str, test: str) -> None:
    arguments = () if test in ONCE else ({},) if test in ON_BERT else ({}, "bert")
    CONTRACT[f"test_{test}"](name, *arguments)


@pytest.mark.parametrize("with_mistake", MISTAKES, indirect=True)
def test_a_mistake_is_named(with_mistake: str) -> None:
    _, _, test, message = MISTAKES[with_mistake.removeprefix("wrong_")]
    check("layer_bias", test)
    with pytest.raises(AssertionError, match=message):
        check(with_mistake, test)


@pytest.mark.parametrize("with_mistake", ["backbone"], indirect=True)
def test_a_changed_backbone_is_told_once_and_made_anew(with_mistake: str) -> None:
    with pytest.raises(AssertionError):
        check(with_mistake, GRADIENTS)
    assert changed_backbones() == ["bert"]
    assert changed_backbones() == []
    assert not any(parameter.requires_grad for parameter in shared_backbone("bert").parameters())


def test_the_forms_of_a_method_are_its_choices(tmp_path: Path) -> None:
    with added(tmp_path):
        assert forms("pissa_example") == [{}, {"train": "minor"}]
        assert forms("lora") == [{}]
