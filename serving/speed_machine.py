"""What inference time is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.speed_inputs import host_memory
from serving.speed_settings import Settings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Machine:
    """What computes: a device, what it is called, the precision of the forward pass, and the bytes of its memory."""

    device: torch.device
    name: str
    dtype: torch.dtype
    memory: int

    @property
    def wait(self) -> Callable[[], None]:
        """Returns when the device has nothing left to do; a CPU never has."""
        import torch

        return torch.cuda.synchronize if self.device.type == "cuda" else lambda: None


def found(settings: Settings) -> Machine:
    """The device that ``settings`` ask for; ValueError where it is not there.

    ``auto``: the first GPU if there is one; its precision bfloat16, that of a CPU float32.
    """
    import torch

    gpu = torch.cuda.is_available()
    if settings.device == "cuda" and not gpu:
        raise ValueError("--device cuda needs a GPU that PyTorch can use, but there is none; leave it out, or give cpu")
    device = torch.device("cuda" if gpu and settings.device != "cpu" else "cpu")
    precision = settings.precision
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Machine(device, properties.name, getattr(torch, precision), properties.total_memory)
    return Machine(device, _processor(), getattr(torch, precision), host_memory())


def _processor() -> str:
    import torch

    name = "CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
