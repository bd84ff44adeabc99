from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import adapert.models.gears.grid
from adapert.models.gears.grid import Grid

N_PERTURBATIONS, N_GENES, SIZE = 7, 5, 4


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run(grid: Grid, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The grid's values, and gradients of a loss of them in its inputs and parameters."""
    r = grid(*inputs)
    return r, list(torch.autograd.grad((r**3).sum(), [*inputs, *grid.parameters()]))


@pytest.mark.usefixtures("double")
def test_a_grid_in_parts_is_the_grid_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    shapes = ((N_GENES, SIZE), (N_PERTURBATIONS, SIZE), (N_GENES, SIZE), (N_GENES,))
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    at_once, in_parts = Grid(SIZE), Grid(SIZE)
    in_parts.load_state_dict(at_once.state_dict())
    expected, expected_gradients = run(at_once, inputs)
    sizes: list[int] = []
    rows = adapert.models.gears.grid._rows

    def counted(b: Tensor, u: Tensor) -> Tensor:
        sizes.append(len(u))
        return rows(b, u)

    monkeypatch.setattr(adapert.models.gears.grid, "VALUES_AT_ONCE", 3 * N_GENES * SIZE)
    monkeypatch.setattr(adapert.models.gears.grid, "_rows", counted)
    found, gradients = run(in_parts, inputs)
    assert set(sizes) == {3, 1}
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for own, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)
    for name, statistic in at_once.state_dict().items():
        torch.testing.assert_close(in_parts.state_dict()[name], statistic, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(in_parts.eval()(*inputs), at_once.eval()(*inputs), rtol=1e-10, atol=1e-10)
