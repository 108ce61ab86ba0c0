"""Members of a stack are updated as if each had an Adam of its own."""

from pathlib import Path

import pytest
import torch

from trainables.checkpoint import Storage
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


def near(members: Members, member: int, expected: dict[str, torch.Tensor]) -> None:
    for name, value in members.tensors(member).items():
        torch.testing.assert_close(value, expected[name], rtol=2e-6, atol=1e-8)


@pytest.fixture(params=["member by member", "all together, as on a GPU"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "member by member":
        monkeypatch.setattr(Members, "_update_each", Members._update_together)


@pytest.mark.parametrize("rates", [RATES, [1e-2] * 3], ids=["rates that differ", "one rate"])
def test_members_equal_solo_adams_also_after_one_has_left(rates: list[float]) -> None:
    members = Members([tensors(s) for s in range(3)], rates, torch.device("cpu"))
    step(members, 5)
    members.keep([0, 2])
    assert len(members) == 2
    step(members, 5)
    members.keep([1])
    step(members, 3)
    near(members, 0, alone(2, rates[2], 13))


def test_a_member_of_a_pack_equals_its_solo_training_bit_for_bit() -> None:
    members = Members([tensors(s) for s in range(3)], RATES, torch.device("cpu"))
    step(members, 9)
    for seed, rate in enumerate(RATES):
        solo = Members([tensors(seed)], [rate], torch.device("cpu"))
        step(solo, 9)
        for name, value in members.tensors(seed).items():
            assert torch.equal(value, solo.tensors(0)[name])


def test_members_of_different_age_equal_solo_adams() -> None:
    """One that has been trained before goes on beside a fresh one."""
    old = Members([tensors(0)], RATES[:1], torch.device("cpu"))
    step(old, 7)
    both = Members([old.tensors(0), tensors(1)], RATES[:2], torch.device("cpu"))
    both.load_state(0, old.state(0))
    step(both, 5)
    for position, expected in enumerate([alone(0, RATES[0], 12), alone(1, RATES[1], 5)]):
        near(both, position, expected)


def test_members_of_two_packs_go_on_as_one() -> None:
    """Of different age, and with what is frozen."""
    frozen = {"frozen.c": torch.ones(2)}
    one = Members([{**tensors(s), **frozen} for s in range(2)], RATES[:2], torch.device("cpu"))
    other = Members([{**tensors(2), **frozen}], RATES[2:], torch.device("cpu"))
    step(one, 7)
    step(other, 3)
    one.join(other)
    step(one, 5)
    assert len(one) == 3
    assert one.stacked["frozen.c"].shape == (3, 2)
    assert not one.stacked["frozen.c"].requires_grad
    for member, steps in enumerate((12, 12, 8)):
        near(one, member, {**alone(member, RATES[member], steps), **frozen})


def test_a_member_that_diverges_touches_no_other() -> None:
    members = Members([tensors(s) for s in range(3)], RATES, torch.device("cpu"))
    step(members, 2)
    for _ in range(3):
        losses = loss(members.stacked["a"], members.stacked["b"])
        members.step((losses * torch.tensor([1.0, torch.nan, 1.0])).sum())
    assert all(value.isnan().all() for value in members.tensors(1).values())
    for member in (0, 2):
        near(members, member, alone(member, RATES[member], 5))


def test_what_takes_no_gradient_stays_as_it_is() -> None:
    members = Members([tensors(s) for s in range(2)], RATES[:2], torch.device("cpu"))
    for _ in range(3):
        members.step((members.stacked["b"] ** 4).sum())
    assert torch.equal(members.tensors(1)["a"], tensors(1)["a"])
    assert not torch.equal(members.tensors(1)["b"], tensors(1)["b"])


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


def test_the_state_of_the_librarys_adam_is_taken_over(tmp_path: Path) -> None:
    """As checkpoints hold it that were written while the library's own was used."""
    own = {n: t.clone().requires_grad_() for n, t in tensors(0).items()}
    adam = torch.optim.Adam(own.values(), lr=RATES[0])
    for _ in range(3):
        adam.zero_grad()
        loss(own["a"][None], own["b"][None]).sum().backward()
        adam.step()
    kept = {f"adam/{n}/{q}": adam.state[t][q] for n, t in own.items() for q in ("step", "exp_avg", "exp_avg_sq")}
    Storage(str(tmp_path)).write_tensors("old", kept, {})
    read = Storage(str(tmp_path)).read_tensors("old")
    assert read is not None
    members = Members([tensors(1), {n: t.detach() for n, t in own.items()}], RATES[1::-1], torch.device("cpu"))
    members.load_state(1, read[0])
    written = members.state(1)
    assert {n: t.dtype for n, t in kept.items()} == {n: t.dtype for n, t in written.items() if n.startswith("adam/")}
    step(members, 4)
    near(members, 1, alone(0, RATES[0], 7))


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
    assert {name.split("/")[1] for name in members.state(1) if name.startswith("adam/")} == {"a", "b"}
    assert torch.equal(members.tensors(1)["frozen.c"], frozen[2])


def test_members_of_smaller_tensors_equal_solo_adams() -> None:
    """Zeros stand before their own numbers and stay; what comes back, and what goes on elsewhere, is of their size."""
    small = {"a": tensors(1)["a"][:2, :1], "b": tensors(1)["b"][:3]}

    def masked(members: Members) -> torch.Tensor:
        """Where what is padded gets a gradient of zero: there ``sin`` and the fourth power count by what is there."""
        a, b = members.stacked["a"], members.stacked["b"]
        return ((a.detach().sign().abs() * a.sin()).sum((1, 2)) + 1).square().sum() + (b**4).sum()

    def trained(members: Members, times: int) -> Members:
        for _ in range(times):
            members.step(masked(members))
        return members

    mixed = trained(Members([tensors(0), small], RATES[:2], torch.device("cpu")), 5)
    assert mixed.stacked["a"][1].count_nonzero() == small["a"].numel()
    state = mixed.state(1)
    assert state["adam/a/exp_avg"].shape == state["parameter/a"].shape == small["a"].shape
    other = Members([{n: state[f"parameter/{n}"] for n in small}, tensors(2)], RATES[1:], torch.device("cpu"))
    other.load_state(0, state)
    mixed.keep([1])
    solo = trained(Members([small], RATES[1:2], torch.device("cpu")), 9)
    for members in (trained(mixed, 4), trained(other, 4)):
        near(members, 0, solo.tensors(0))
