from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from adapert.models.noise import Noise, SlotGenerators, normal, uniform

CPU = torch.device("cpu")
SHAPE = torch.Size((5, 7))  # of more than 16 numbers, which torch draws several at a time


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


@pytest.mark.parametrize(("draw", "of_torch"), [(uniform, torch.rand), (normal, torch.randn)])
def test_trials_side_by_side_each_draw_what_torch_draws_for_one(
    draw: Callable[[torch.Size, Noise, torch.device], Tensor], of_torch: Callable[..., Tensor]
) -> None:
    expected = torch.stack([of_torch(SHAPE, generator=each) for each in generators(3)])
    alone = torch.stack([draw(SHAPE, each, CPU) for each in generators(3)])
    assert torch.equal(alone, expected)

    def of_slot(slot: Tensor, all_generators: list[torch.Generator]) -> Tensor:
        return draw(SHAPE, SlotGenerators(slot, all_generators), CPU)

    together = torch.vmap(partial(of_slot, all_generators=generators(3)))(torch.arange(3))
    assert torch.equal(together, expected)
