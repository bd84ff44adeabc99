import pytest
import torch

from adapert.models.row_picks import pick_rows


@pytest.mark.parametrize("dim", [0, 1])
def test_picked_rows_and_their_gradient_are_those_of_a_gpu(dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(6, 6, 3, generator=generator, requires_grad=True)
    row = torch.randint(0, 4, (40,), generator=generator)  # most rows several times, some never
    picked, selected = pick_rows(table, row, dim), table.index_select(dim, row)
    assert torch.equal(picked, selected)
    weight = torch.randn(picked.shape, generator=generator)
    gradients = [torch.autograd.grad(rows, table, weight)[0] for rows in (picked, selected)]
    assert torch.equal(*gradients)


def test_rows_can_be_picked_where_nothing_can_be_read() -> None:
    table, row = torch.empty(5, 3, device="meta"), torch.empty(7, 2, dtype=torch.int64, device="meta")
    assert pick_rows(table, row).shape == (7, 2, 3)
    assert pick_rows(table, row[:, 0], dim=1).shape == (5, 7)
