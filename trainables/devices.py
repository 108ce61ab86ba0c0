"""What this machine trains on, its CPU cores and its GPUs."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[str]:
    """The names of the GPUs that PyTorch can use here, such as ``NVIDIA A100-SXM4-40GB``; none of another kind."""
    if not gpu_driver():
        return []
    import torch  # takes a second

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def first_gpu_bytes() -> int | None:
    """The memory of the first of these GPUs; None where there is none."""
    if not gpus():
        return None
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


def gpu_driver() -> bool:
    """Whether NVIDIA's driver is here, which PyTorch loads by this name, or AMD's: without one there is no GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on ``device``, without waiting for what a GPU is still doing: it goes from pinned memory."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
