"""Adam for the members of a pack: one stacked tensor per name, one learning rate per member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables.methods import trainable

_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


class Members:
    """The tensors of ``k`` members and their optimiser.

    ``stacked[name]`` is ``(k, …)`` and takes the gradient, unless the method has frozen it. The library's Adam (Kingma
    and Ba, 2015) sees ``k`` parameter groups of views into it, so that each member has its own constant rate and its
    own moments, and a member can leave without touching the others. The paper states Adam and the constant rate; the
    rest is torch's (β 0.9 and 0.999, ε 1e-8), without weight decay, warm-up or clipping.
    """

    def __init__(self, tensors: Sequence[Mapping[str, Tensor]], rates: Sequence[float], device: torch.device) -> None:
        names = list(tensors[0])
        self.stacked = {n: torch.stack([t[n] for t in tensors]).to(device) for n in names}
        for tensor in trainable(self.stacked).values():
            tensor.requires_grad_()
        self._views = [{n: self.stacked[n].detach()[i] for n in names} for i in range(len(tensors))]
        trained = [list(trainable(views).values()) for views in self._views]
        groups = [{"params": views, "lr": rate} for views, rate in zip(trained, rates, strict=True)]
        self._adam = torch.optim.Adam(groups)

    def __len__(self) -> int:
        return len(self._views)

    def step(self, loss: Tensor) -> None:
        """One update of every member from the sum of the members' losses."""
        for tensor in self.stacked.values():
            tensor.grad = None
        loss.backward()
        for i, views in enumerate(self._views):
            for name, view in views.items():
                gradient = self.stacked[name].grad
                view.grad = None if gradient is None else gradient[i]
        self._adam.step()

    def keep(self, members: Sequence[int]) -> None:
        """Let all but these members (by position) leave."""
        for name, tensor in self.stacked.items():
            self.stacked[name] = tensor.detach()[list(members)].clone().requires_grad_(tensor.requires_grad)
        gone = [views for i, views in enumerate(self._views) if i not in members]
        for views in gone:
            for view in views.values():
                self._adam.state.pop(view, None)
        self._views = [self._views[i] for i in members]
        self._adam.param_groups = [self._adam.param_groups[i] for i in members]
        for i, views in enumerate(self._views):
            for name, view in views.items():
                view.data = self.stacked[name].detach()[i]

    def tensors(self, member: int) -> dict[str, Tensor]:
        """A copy, on the CPU, of one member's tensors."""
        return {name: view.detach().cpu().clone() for name, view in self._views[member].items()}

    def state(self, member: int) -> dict[str, Tensor]:
        """The optimiser's state of one member, as ``parameter/quantity`` -> tensor."""
        return {
            f"{name}/{quantity}": self._adam.state[view][quantity]
            for name, view in self._views[member].items()
            for quantity in _ADAM_STATE
            if view in self._adam.state
        }

    def load_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave."""
        for name, view in self._views[member].items():
            if f"{name}/step" in state:
                moments = {q: state[f"{name}/{q}"].to(view.device) for q in _ADAM_STATE[1:]}
                self._adam.state[view] = {"step": state[f"{name}/step"].cpu(), **moments}
