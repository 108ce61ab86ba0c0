"""Members of a stack are updated as if each had an Adam of its own."""

import torch

from trainables.optim import Members

RATES = [1e-3, 1e-2, 5e-2]


def tensors(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, 2, generator=generator), "b": torch.randn(4, generator=generator)}


def loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """One loss per member: (k, 3, 2) and (k, 4) -> (k,)."""
    return (a.sin().sum((1, 2)) + 1) ** 2 + (b**4).sum(1)


def alone(seed: int, rate: float, steps: int) -> dict[str, torch.Tensor]:
    own = {n: t.clone().requires_grad_() for n, t in tensors(seed).items()}
    adam = torch.optim.Adam(own.values(), lr=rate)
    for _ in range(steps):
        adam.zero_grad()
        loss(own["a"][None], own["b"][None]).sum().backward()
        adam.step()
    return {n: t.detach() for n, t in own.items()}


def step(members: Members, times: int) -> None:
    for _ in range(times):
        members.step(loss(members.stacked["a"], members.stacked["b"]).sum())


def test_members_equal_solo_adams_also_after_one_has_left() -> None:
    members = Members([tensors(s) for s in range(3)], RATES, torch.device("cpu"))
    step(members, 5)
    members.keep([0, 2])
    assert len(members) == 2
    step(members, 5)
    for position, seed in enumerate([0, 2]):
        expected = alone(seed, RATES[seed], 10)
        for name, value in members.tensors(position).items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_state_continues_exactly() -> None:
    undisturbed = Members([tensors(s) for s in range(2)], RATES[:2], torch.device("cpu"))
    step(undisturbed, 3)
    continued = Members([undisturbed.tensors(i) for i in range(2)], RATES[:2], torch.device("cpu"))
    for i in range(2):
        continued.load_state(i, {n: t.clone() for n, t in undisturbed.state(i).items()})
    step(undisturbed, 4)
    step(continued, 4)
    for name in ("a", "b"):
        assert torch.equal(undisturbed.stacked[name], continued.stacked[name])


def test_what_is_frozen_stays_as_it_is() -> None:
    """It takes no gradient and has no state, and it leaves with its member."""
    frozen = [torch.randn(2, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    indices = {"frozen.d": torch.tensor([2, 0, 1])}
    members = Members([{**tensors(s), "frozen.c": frozen[s], **indices} for s in range(3)], RATES, torch.device("cpu"))
    for staying in ([0, 1, 2], [0, 2]):
        members.keep(staying)
        stacked = members.stacked
        members.step((loss(stacked["a"], stacked["b"]) * stacked["frozen.c"].square().sum(1)).sum())
        assert stacked["frozen.d"].tolist() == [[2, 0, 1]] * len(staying)
        assert torch.equal(stacked["frozen.c"], torch.stack([frozen[s] for s in staying]))
        assert not stacked["frozen.c"].requires_grad
        assert stacked["frozen.c"].grad is None
    assert {name.split("/")[0] for name in members.state(1)} == {"a", "b"}
    assert torch.equal(members.tensors(1)["frozen.c"], frozen[2])
