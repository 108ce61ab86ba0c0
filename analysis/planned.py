"""Which methods are compared with which: what a reader planned, before any number was seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What is compared: ``methods`` (``None``: all others) with the ``reference`` (``None``: the best one)."""

    reference: str | None = None
    methods: tuple[str, ...] | None = None


EVERYTHING = Plan()


def planned(against: str | None, methods: Iterable[str]) -> Plan:
    """The comparisons that ``against`` names, of the ``methods`` that there are.

    ``"lora"``: all others with LoRA; ``"p_tuning_v2:aot_fc,aot_kronecker"``: just these two with P-Tuning v2, which
    makes a family of two; ``None``: all others with the best one. Raises ValueError, with the known methods, for one
    that is not among them, a list without names, and a method compared with itself.
    """
    if against is None:
        return EVERYTHING
    reference, colon, rest = against.partition(":")
    names = tuple(dict.fromkeys(name.strip() for name in rest.split(",") if name.strip()))
    reference, known = reference.strip(), sorted(set(methods))
    unknown = [name for name in (reference, *names) if name not in known]
    if unknown:
        raise ValueError(f"unknown method {unknown[0]!r} in {against!r}; known: {', '.join(known)}")
    if colon and not names:
        raise ValueError(f"{against!r} names no method after the colon; known: {', '.join(known)}")
    if reference in names:
        raise ValueError(f"{against!r} compares {reference!r} with itself; name other methods after the colon")
    return Plan(reference, names or None)
