import pytest
import torch

from adapert.models.dropout import Dropout


def test_dropout_scales_what_it_keeps_and_follows_the_generator() -> None:
    x, dropout = torch.ones(2000), Dropout(0.2)
    dropped = dropout(x, torch.Generator().manual_seed(0))
    assert set(dropped.tolist()) == {0.0, 1.25}
    assert 0.17 < (dropped == 0).float().mean() < 0.23
    assert torch.equal(dropped, dropout(x, torch.Generator().manual_seed(0)))
    assert not torch.equal(dropped, dropout(x, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.37, 0.5, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fraction_in_a_tensor_drops_what_the_number_would(fraction: float, dtype: torch.dtype) -> None:
    x = torch.linspace(-3, 3, 1000).to(dtype)
    dropped = Dropout(fraction)(x, torch.Generator().manual_seed(0))
    is_kept = torch.rand(1000, generator=torch.Generator().manual_seed(0)) >= fraction
    assert torch.equal(dropped, x * is_kept / (1 - fraction))


def test_nothing_is_dropped_without_a_generator_and_nothing_drawn_at_0() -> None:
    x = torch.arange(5.0)
    assert torch.equal(Dropout(0.9)(x, None), x)
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    assert torch.equal(Dropout(0)(x, generator), x)
    assert torch.equal(generator.get_state(), state)


def test_fractions_are_no_weights() -> None:
    assert not Dropout(0.5).state_dict()
