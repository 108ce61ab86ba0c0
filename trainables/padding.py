"""Members of several ranks or prompt lengths in one pack: their tensors padded with zeros to the largest.

A method says in its class by which hyperparameters that is exact (``padded``): what is padded is zero, gets a gradient
of exactly zero, and so stays zero through every step of Adam. Zeros stand *before* a member's own numbers, in each
dimension that is longer: a padded prefix is then followed by the member's own keys and these by the text's, in one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class PerMember:
    """A whole number for each of ``k`` members: for the host, and on the device, which is not asked for it."""

    numbers: tuple[int, ...]
    tensor: Tensor  # (k,) int64

    def below(self, most: int) -> PerMember:
        """How many are missing to ``most``."""
        return PerMember(tuple(most - number for number in self.numbers), most - self.tensor)


def own_sizes(
    padded: Sequence[str], members: Sequence[Mapping[str, Any]], device: torch.device | str
) -> dict[str, PerMember]:
    """Each member's own value of the hyperparameters ``padded``, by their names; ``members``: all values of each."""
    import torch

    found = {}
    for name in padded:
        numbers = tuple(int(values[name]) for values in members)
        found[name] = PerMember(numbers, torch.tensor(numbers).to(device))
    return found


def side_by_side(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of as many dimensions as one ``(k, …)``, each dimension as long as the longest, with zeros before."""
    longest = [max(lengths) for lengths in zip(*(tensor.shape for tensor in tensors), strict=True)]
    stacked = tensors[0].new_zeros(len(tensors), *longest)
    for member, tensor in enumerate(tensors):
        own_part(stacked[member], tensor.shape).copy_(tensor)
    return stacked


def own_part(padded: Tensor, shape: Sequence[int]) -> Tensor:
    """What is a member's own in its place of ``side_by_side``; ``shape`` is that of its own tensor. Not a copy."""
    return padded[tuple(slice(whole - length, None) for whole, length in zip(padded.shape, shape, strict=True))]
