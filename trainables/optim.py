"""Adam for the members of a pack: one stacked tensor per name, one learning rate per member, one update of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables.devices import sent
from trainables.methods import trainable
from trainables.padding import own_part, side_by_side

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Members:
    """The tensors of ``k`` members and their optimiser.

    ``stacked[name]`` is ``(k, …)`` and takes the gradient, unless the method has frozen it; the moments are stacked as
    well. Members of smaller tensors are padded (``padding.py``); what comes back of one is of its own size. The
    library's Adam (Kingma and Ba, 2015) has one learning rate for a tensor, so that a pack would need tensors of each
    member's own, and as many updates; here each member has its own constant rate and number of steps, and can leave
    without touching the others. The paper states Adam and the constant rate; the rest is the library's (β 0.9 and
    0.999, ε 1e-8), without weight decay, warm-up or clipping.
    """

    def __init__(self, tensors: Sequence[Mapping[str, Tensor]], rates: Sequence[float], device: torch.device) -> None:
        self.stacked = {n: side_by_side([t[n] for t in tensors]).to(device) for n in tensors[0]}
        self._shapes = [{n: t.shape for n, t in member.items()} for member in tensors]
        for tensor in trainable(self.stacked).values():
            tensor.requires_grad_()
        self._device, self._rates, self._steps = device, list(rates), [0] * len(rates)
        self._means = {n: torch.zeros_like(t.detach()) for n, t in trainable(self.stacked).items()}
        self._squares = {n: torch.zeros_like(t) for n, t in self._means.items()}

    def __len__(self) -> int:
        return len(self._rates)

    def step(self, loss: Tensor) -> None:
        """One update of every member from the sum of the members' losses; what takes no gradient stays as it is."""
        for tensor in self.stacked.values():
            tensor.grad = None
        loss.backward()
        self._steps = [step + 1 for step in self._steps]
        names = [name for name, tensor in self.stacked.items() if tensor.grad is not None]
        with torch.no_grad():
            if self._device.type == "cuda" and len(self) > 1:
                self._update_together(names)
            else:
                self._update_each(names)

    def _update_each(self, names: Sequence[str]) -> None:
        """Member by member, in the library's one pass over memory: a CPU waits for memory, and not for launches."""
        for member, (rate, step) in enumerate(zip(self._rates, self._steps, strict=True)):
            parameters, gradients, means, squares = ([t[member] for t in named] for named in self._quantities(names))
            steps = [sent(torch.tensor(float(step)), self._device)] * len(names)
            torch._fused_adam_(
                parameters, gradients, means, squares, [], steps, lr=rate, beta1=_BETAS[0], beta2=_BETAS[1],
                eps=_EPSILON, weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip

    def _update_together(self, names: Sequence[str]) -> None:
        """All members at once: the number of launches does not grow with them."""
        parameters, gradients, means, squares = self._quantities(names)
        first, second = _BETAS
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, self._scale([(1 - second**s) ** 0.5 for s in self._steps], roots))
        torch._foreach_add_(roots, _EPSILON)
        sizes = [-rate / (1 - first**s) for rate, s in zip(self._rates, self._steps, strict=True)]
        torch._foreach_addcdiv_(parameters, torch._foreach_mul(means, self._scale(sizes, means)), roots)

    def _quantities(self, names: Sequence[str]) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Parameters, gradients and both moments, each of every name ``(k, …)``."""
        parameters = [self.stacked[n].detach() for n in names]
        gradients = [g for n in names if (g := self.stacked[n].grad) is not None]
        return parameters, gradients, [self._means[n] for n in names], [self._squares[n] for n in names]

    def _scale(self, values: Sequence[float], tensors: Sequence[Tensor]) -> float | list[Tensor]:
        """The members' factors ``(k, 1, …)`` for each of the stacked ``tensors``; a number where all have the same."""
        if len(set(values)) == 1:
            return values[0]
        column = sent(torch.tensor(values, dtype=torch.float32), self._device)
        return [column.view(-1, *[1] * (tensor.dim() - 1)) for tensor in tensors]

    def keep(self, members: Sequence[int]) -> None:
        """Let all but these members (by position) leave."""
        rows = list(members)
        for name, tensor in self.stacked.items():
            self.stacked[name] = tensor.detach()[rows].requires_grad_(tensor.requires_grad)
        self._means = {n: t[rows] for n, t in self._means.items()}
        self._squares = {n: t[rows] for n, t in self._squares.items()}
        self._rates, self._steps = [self._rates[i] for i in rows], [self._steps[i] for i in rows]
        self._shapes = [self._shapes[i] for i in rows]

    def _own(self, member: int, name: str, stacked: Mapping[str, Tensor]) -> Tensor:
        return own_part(stacked[name].detach()[member], self._shapes[member][name])

    def join(self, other: Members) -> None:
        """Take in the members of another pack, behind the own ones; what is stacked must have the same shapes."""
        for name, tensor in self.stacked.items():
            both = torch.cat([tensor.detach(), other.stacked[name].detach()])
            self.stacked[name] = both.requires_grad_(tensor.requires_grad)
        self._means = {n: torch.cat([t, other._means[n]]) for n, t in self._means.items()}
        self._squares = {n: torch.cat([t, other._squares[n]]) for n, t in self._squares.items()}
        self._rates, self._steps = self._rates + other._rates, self._steps + other._steps
        self._shapes += other._shapes

    def tensors(self, member: int) -> dict[str, Tensor]:
        """A copy, on the CPU, of one member's tensors."""
        return {name: self._own(member, name, self.stacked).to("cpu", copy=True) for name in self.stacked}

    def state(self, member: int) -> dict[str, Tensor]:
        """All that the next step of one member needs, as it stands and not copied.

        ``parameter/NAME``, and of what is trained ``adam/NAME/QUANTITY``, where the quantities are named as the
        library's.
        """
        state = {f"parameter/{name}": self._own(member, name, self.stacked) for name in self.stacked}
        for name in self._means:
            state[f"adam/{name}/step"] = torch.tensor(float(self._steps[member]))
            state[f"adam/{name}/exp_avg"] = self._own(member, name, self._means)
            state[f"adam/{name}/exp_avg_sq"] = self._own(member, name, self._squares)
        return state

    def load_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """Put back the moments and steps that ``state`` gave; a name without any has none yet."""
        for name in self._means:
            if f"adam/{name}/step" in state:
                self._steps[member] = int(state[f"adam/{name}/step"])
                self._own(member, name, self._means).copy_(state[f"adam/{name}/exp_avg"])
                self._own(member, name, self._squares).copy_(state[f"adam/{name}/exp_avg_sq"])
