from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import torch
from fixtures.builders import NewTraining

from adapert.models.sparse_product import SparseProduct, ordered_product
from adapert.training.loop import run_alone, train
from adapert.training.numerics import deterministic, tf32
from adapert.training.slots import Slots
from adapert.training.state import Training

META = torch.device("meta")


def seen_in_steps(training: Training, run: Callable[[], object]) -> set[tuple[bool, bool]]:
    """Whether each forward pass was deterministic, and whether its products were of TF32 numbers."""
    seen = set()

    def look(*_: object) -> None:
        is_tf32 = torch.backends.cuda.matmul.allow_tf32
        seen.add((torch.are_deterministic_algorithms_enabled(), is_tf32))

    training.network.register_forward_pre_hook(look)
    run()
    return seen


def settings() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("is_asked", [False, True])
def test_steps_are_deterministic_where_the_config_says_so(new_training: NewTraining, is_asked: bool) -> None:
    training = new_training({"training.deterministic": is_asked})
    assert seen_in_steps(training, lambda: next(train(training))) == {(is_asked, False)}
    assert settings() == (False, False)


def test_an_error_leaves_the_process_as_it_was() -> None:
    def fail() -> None:
        with deterministic(True), tf32(True, META):
            assert settings() == (True, True)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert settings() == (False, False)


def test_a_caller_who_asks_for_determinism_keeps_it(new_training: NewTraining) -> None:
    training = new_training()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert seen_in_steps(training, lambda: run_alone(training)) == {(True, False)}
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_only_tf32_lets_a_gpu_use_it_and_only_in_steps(new_training: NewTraining, precision: str) -> None:
    changes = {"training.precision": precision, "model.n_graph_layers": 0}
    training = new_training(changes, device=META)

    def run() -> None:
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
            run_alone(training)

    # The validation's forward passes are never of TF32 numbers.
    assert seen_in_steps(training, run) == {(False, precision == "tf32"), (False, False)}
    assert settings() == (False, False)


def test_tf32_and_determinism_change_no_bit_on_one_thread(new_training: NewTraining) -> None:
    changes = {"training.precision": "tf32", "training.deterministic": True}
    plain, changed = new_training(), new_training(changes)
    for _ in range(2):
        assert run_alone(changed).losses == run_alone(plain).losses


def test_slots_compute_as_their_config_says(new_training: NewTraining) -> None:
    trainings = [new_training({"training.deterministic": True}, seed=seed) for seed in range(2)]
    assert seen_in_steps(trainings[0], Slots(trainings).train_epoch) == {(True, False)}
    assert settings() == (False, False)


def test_an_ordered_product_is_the_product() -> None:
    matrix = scipy.sparse.random_array((9, 7), density=0.15, rng=np.random.default_rng(0), format="csr")
    assert 0 in np.diff(matrix.indptr)  # a row without terms
    h = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    found = ordered_product(SparseProduct(matrix).matrix, h)
    np.testing.assert_allclose(found.numpy(), matrix @ h.double().numpy(), atol=1e-6)
