"""In which precision a block computes, on any device."""

from contextlib import AbstractContextManager, nullcontext

import torch


def half_precision(device: torch.device, is_half: bool) -> AbstractContextManager[object]:
    """Let products be of bfloat16 numbers, where that is asked for."""
    return _autocast(device, is_half)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Compute in float32, also within `half_precision`."""
    return _autocast(device, is_half=False)


def _autocast(device: torch.device, is_half: bool) -> AbstractContextManager[object]:
    if not torch.amp.is_autocast_available(device.type):  # as on the meta device, which only knows shapes
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_half)
