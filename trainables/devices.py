"""What this machine trains on: its CPU cores and its GPUs."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus() -> list[str]:
    """The names of the GPUs that PyTorch can use here, such as ``NVIDIA A100-SXM4-40GB``; none of another kind."""
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
