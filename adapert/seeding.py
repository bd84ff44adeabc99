"""Named random streams from one seed: the only place where generators are made."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, stream: str) -> int:
    """Derive the seed of a named stream, so that one stream's draws never shift another's.

    Args:
        seed: The trial's, split's or study's seed.
        stream: What the draws are for, such as ``"gumbel"``.

    Returns:
        A non-negative integer below 2**63, the same in every process.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1  # torch takes signed 64-bit seeds


def numpy_generator(seed: int, stream: str) -> np.random.Generator:
    """Make numpy's generator of a named stream."""
    return np.random.default_rng(derive_seed(seed, stream))


def torch_generator(seed: int, stream: str, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """Make torch's generator of a named stream on a device; the meta device has none, and gets the CPU's."""
    import torch

    place = "cpu" if torch.device(device).type == "meta" else device
    return torch.Generator(device=place).manual_seed(derive_seed(seed, stream))


@contextmanager
def seeded_initialisation(seed: int, stream: str = "initialisation") -> Iterator[None]:
    """Seed torch's module initialisers on the CPU inside the block, and restore the global state after it.

    ``torch.nn`` initialisers draw from torch's global generator and take no other.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed CUDA's global generators too, and nothing would restore them.
        torch.default_generator.manual_seed(derive_seed(seed, stream))
        yield
