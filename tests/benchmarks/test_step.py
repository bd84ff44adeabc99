import scipy.sparse
import torch
from torch.utils.flop_counter import FlopCounterMode

from adapert.models.sparse_product import SparseProduct
from benchmarks.step import ProductCounter


def test_products_are_counted_forward_and_backward_as_by_torch() -> None:
    x = torch.ones(3, 4, requires_grad=True)
    layer, heads = torch.nn.Linear(4, 5), torch.ones(2, 5, 6, requires_grad=True)
    with FlopCounterMode(display=False) as theirs, ProductCounter() as ours:
        torch.bmm(layer(x).expand(2, 3, 5), heads).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.n_operations == theirs.get_total_flops() == 3 * 2 * (3 * 4 * 5 + 2 * 3 * 5 * 6)


def test_a_sparse_product_is_none() -> None:
    with ProductCounter() as counter:
        assert SparseProduct(scipy.sparse.eye_array(4, format="csr"))(torch.ones(4, 2)).sum() == 8
    assert counter.n_operations == 0
