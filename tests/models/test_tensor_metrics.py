from collections.abc import Callable

import numpy as np
import pytest
import torch

from adapert.data.schema import BoolArray, FloatArray
from adapert.evaluation import metrics
from adapert.evaluation.catalogue import cheap_metrics, metrics_of_epochs
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.models import tensor_metrics
from adapert.models.tensor_metrics import EPOCH_METRICS, epoch_means

Case = tuple[FloatArray, FloatArray, BoolArray]


def random_case(seed: int, n_perturbations: int = 12, n_genes: int = 130) -> Case:
    generator = np.random.default_rng(seed)
    predicted, observed = generator.normal(size=(2, n_perturbations, n_genes))
    return predicted, observed, generator.random((n_perturbations, n_genes)) < 0.5


def copied(case: Case) -> Case:
    return case[0].copy(), case[1].copy(), case[2].copy()


def with_constant_rows(case: Case) -> Case:
    predicted, observed, deg_mask = copied(case)
    predicted[1], observed[2], predicted[3] = 0, 0.3, 0.1
    return predicted, observed, deg_mask


def with_ties(case: Case) -> Case:
    predicted, observed, deg_mask = copied(case)
    observed[4], predicted[5:8] = observed[3], predicted[4]
    return np.round(predicted, 0), np.round(observed, 0), deg_mask


def with_nan(case: Case) -> Case:
    predicted, observed, deg_mask = copied(case)
    predicted[0, 3:90], predicted[6] = np.nan, np.nan
    return predicted, observed, deg_mask


def with_few_degs(case: Case) -> Case:
    predicted, observed, deg_mask = copied(case)
    deg_mask[:4], deg_mask[3, 2], deg_mask[5] = False, True, True
    return predicted, observed, deg_mask


def with_equal_rows(case: Case) -> Case:
    predicted, observed, deg_mask = case
    return np.repeat(predicted[:1], len(predicted), axis=0), observed, deg_mask


def perfect(case: Case) -> Case:
    return case[1], case[1], case[2]


def in_single_precision(case: Case) -> Case:
    predicted, observed, deg_mask = case
    return predicted.astype(np.float32).astype(float), observed.astype(np.float32).astype(float), deg_mask


CASES: dict[str, Callable[[Case], Case]] = {
    each.__name__: each
    for each in (
        with_constant_rows,
        with_ties,
        with_nan,
        with_few_degs,
        with_equal_rows,
        perfect,
        in_single_precision,
    )
}


def test_every_metric_of_an_epoch_has_its_function_of_tensors() -> None:
    assert tuple(EPOCH_METRICS) == metrics_of_epochs()


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("edit", CASES)
@pytest.mark.parametrize("size", [(12, 130), (9, 20), (40, 3)])
def test_metrics_of_tensors_equal_numpys(edit: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        case = CASES[edit](random_case(seed, *size))
        expected = cheap_metrics(*case)
        given = [torch.from_numpy(part) for part in case]
        for name, metric in EPOCH_METRICS.items():
            np.testing.assert_allclose(metric(*given).numpy(), expected[name], rtol=0, atol=1e-6)
        means = {name: mean_over_perturbations(values) for name, values in expected.items()}
        found = {name: value.item() for name, value in epoch_means(*given).items()}
        assert found == pytest.approx(means, abs=1e-6, nan_ok=True)


def test_a_single_perturbation_finds_itself() -> None:
    given = [torch.from_numpy(part) for part in random_case(0, n_perturbations=1)]
    assert EPOCH_METRICS["pds"](*given).tolist() == [1]


def test_float32_predictions_are_scored_in_float64() -> None:
    predicted, observed, deg_mask = random_case(3)
    single = [predicted.astype(np.float32), observed.astype(np.float32), deg_mask]
    expected = cheap_metrics(single[0].astype(float), single[1].astype(float), deg_mask)
    for name, metric in EPOCH_METRICS.items():
        found = metric(*(torch.from_numpy(part) for part in single)).numpy()
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("is_shared", [True, False])
def test_trials_side_by_side_are_each_scored_as_alone(is_shared: bool) -> None:
    cases = [random_case(seed) for seed in range(3)]
    predicted = torch.from_numpy(np.stack([case[0] for case in cases]))
    observed = [torch.from_numpy(case[1]) for case in cases]
    deg_mask = [torch.from_numpy(case[2]) for case in cases]
    if is_shared:
        together = epoch_means(predicted, observed[0], deg_mask[0])
    else:
        together = epoch_means(predicted, torch.stack(observed), torch.stack(deg_mask))
    for trial in range(3):
        own = 0 if is_shared else trial
        alone = epoch_means(predicted[trial], observed[own], deg_mask[own])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][trial], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "contexts",
    [
        np.random.default_rng(0).normal(size=(40, 8)),
        np.random.default_rng(1).normal(size=(5, 8)),  # fewer perturbations than directions
        np.zeros((6, 3)),
        np.ones((7, 4)) * np.arange(1, 8)[:, None],
        np.eye(5),
        np.outer(np.random.default_rng(3).normal(size=90), np.arange(1, 65)),  # one direction of 64
        np.random.default_rng(2).normal(size=(30, 6)) * 10.0 ** -np.arange(6),
    ],
)
def test_effective_rank_of_a_tensor_equals_numpys(contexts: FloatArray) -> None:
    for dtype in (np.float32, np.float64):
        given = contexts.astype(dtype)
        found = tensor_metrics.effective_rank(torch.from_numpy(given)).item()
        # Squares of singular values lose those below 1e-8 of the largest.
        assert found == pytest.approx(metrics.effective_rank(given.astype(float)), rel=5e-6)
    stacked = torch.from_numpy(np.stack([contexts, 2 * contexts]))
    torch.testing.assert_close(*tensor_metrics.effective_rank(stacked))


def test_a_context_that_diverged_has_no_rank_and_leaves_the_others_theirs() -> None:
    contexts = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    alone = tensor_metrics.effective_rank(contexts)
    contexts[1, 2, 0] = torch.nan
    ranks = tensor_metrics.effective_rank(contexts)
    assert ranks.isnan().tolist() == [False, True, False]
    assert torch.equal(ranks[[0, 2]], alone[[0, 2]])


def test_the_metrics_read_nothing_from_the_device() -> None:
    shape = (3, 6, 80)  # three trials
    predicted, mask = torch.empty(shape, device="meta"), torch.empty(shape[1:], device="meta").bool()
    for value in epoch_means(predicted, predicted[0], mask).values():
        assert value.shape == (3,)
    assert tensor_metrics.effective_rank(predicted).shape == (3,)
