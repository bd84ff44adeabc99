import math
from collections.abc import Callable

import pytest
import torch
from fixtures.narrowed import present
from scipy.optimize import minimize_scalar
from sklearn.metrics import mean_squared_error

from adapert.config import LossConfig
from adapert.models.losses import (
    alignment_loss,
    contrastive_alignment,
    cosine_alignment,
    fused_errors,
    huber,
    non_deg_shrinkage,
    plain_errors,
    response_losses,
)

N_ROWS, N_GENES, SIZE = 5, 6, 4
WEIGHT = torch.tensor([2.0, 0.5, 1.0, 0.25, 1.25])


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reconstruction_loss(predicted: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return response_losses(predicted, target, torch.ones_like(target), torch.tensor(1.0), "sum", weight)[0]


def non_deg_loss(
    predicted: torch.Tensor, non_deg: torch.Tensor, delta: float, reduction: str, weight: torch.Tensor
) -> torch.Tensor:
    return response_losses(
        predicted, torch.ones_like(non_deg), non_deg, torch.tensor(delta), reduction, weight
    )[1]


def test_reconstruction_equals_a_plain_loop_over_equation_15() -> None:
    predicted, target = draws(N_ROWS, N_GENES), draws(N_ROWS, N_GENES, seed=1)
    expected = 0.0
    for row in range(N_ROWS):
        squares = [(predicted[row, gene] - target[row, gene]).item() ** 2 for gene in range(N_GENES)]
        expected += WEIGHT[row].item() * sum(squares) / N_GENES / N_ROWS
    assert reconstruction_loss(predicted, target, WEIGHT).item() == pytest.approx(expected, rel=1e-5)


def test_reconstruction_with_equal_weights_is_the_mean_squared_error() -> None:
    predicted, target = draws(N_ROWS, N_GENES), draws(N_ROWS, N_GENES, seed=1)
    loss = reconstruction_loss(predicted, target, torch.ones(N_ROWS)).item()
    assert loss == pytest.approx(mean_squared_error(target, predicted), rel=1e-5)


def test_huber_is_quadratic_within_delta_and_linear_beyond() -> None:
    # delta = 0.5: 0.2^2 / 2, 0.5^2 / 2, 0.5 (2 - 0.25), both signs alike
    expected = torch.tensor([0.0, 0.02, 0.125, 0.875, 0.875])
    torch.testing.assert_close(huber(torch.tensor([0.0, 0.2, 0.5, 2.0, -2.0]), torch.tensor(0.5)), expected)


@pytest.mark.parametrize("delta", [0.01, 0.5, 3.0])
def test_huber_and_its_gradient_equal_torchs(delta: float) -> None:
    residual = (2 * draws(50)).requires_grad_()
    reference = torch.nn.functional.huber_loss(residual, torch.zeros(50), reduction="none", delta=delta)
    torch.testing.assert_close(huber(residual, torch.tensor(delta)), reference)
    (own,) = torch.autograd.grad(huber(residual, torch.tensor(delta)).sum(), residual)
    (theirs,) = torch.autograd.grad(reference.sum(), residual)
    torch.testing.assert_close(own, theirs)


@pytest.mark.parametrize("shape", [(N_ROWS, 40), (3, N_ROWS, 40)])
def test_fused_errors_and_their_gradient_equal_torchs(shape: tuple[int, ...]) -> None:
    target, non_deg = draws(N_ROWS, 40, seed=1), (draws(N_ROWS, 40, seed=3) > 0).float()
    weights = draws(2, *shape[:-1], seed=4)

    def values_and_gradient(errors: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        # Every second gene of a wider table: no row follows the one before it in memory.
        wide = draws(*shape[:-1], 80).requires_grad_()
        both = errors(wide[..., ::2], target, non_deg, torch.tensor(0.4))
        total = sum((weight * error).sum() for weight, error in zip(weights, both, strict=True))
        return [*both, *torch.autograd.grad(present(total), wide)]

    def reference(
        predicted: torch.Tensor, target: torch.Tensor, non_deg: torch.Tensor, delta: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = target.expand_as(predicted)
        squared = torch.nn.functional.mse_loss(predicted, wanted, reduction="none")
        penalty = torch.nn.functional.huber_loss(predicted, 0 * predicted, reduction="none", delta=delta)
        return squared.sum(dim=-1), (penalty * non_deg).sum(dim=-1)

    theirs = values_and_gradient(reference)
    torch.testing.assert_close(values_and_gradient(fused_errors), theirs)
    torch.testing.assert_close(values_and_gradient(plain_errors), theirs)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_no_number_leaves_no_finite_error(bad: float) -> None:
    predicted, marks = torch.zeros(2, 40), torch.ones(2, 40)
    predicted[0, 17] = bad
    for errors in (fused_errors, plain_errors):
        squared, _ = errors(predicted, marks, marks, torch.tensor(0.4))
        assert squared.isfinite().tolist() == [False, True]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_non_deg_loss_equals_a_plain_loop_over_equations_16_and_17(reduction: str) -> None:
    predicted, delta = draws(N_ROWS, N_GENES), 0.4
    non_deg = (draws(N_ROWS, N_GENES, seed=3) > 0).float()
    expected = 0.0
    for row in range(N_ROWS):
        penalties = []
        for gene in range(N_GENES):
            r = predicted[row, gene].item()
            if non_deg[row, gene]:
                penalties.append(r**2 / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2))
        scale = 1 if reduction == "sum" else N_GENES
        expected += WEIGHT[row].item() * sum(penalties) / scale / N_ROWS
    loss = non_deg_loss(predicted, non_deg, delta, reduction, WEIGHT)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_mean_penalty_beside_a_mean_error_is_both_equations_to_the_letter() -> None:
    """||x_hat - x||^2 + lambda sum_i rho(x_hat_i - c_i) over N, whatever a row's number of DEGs."""
    predicted, target, delta, weight = draws(N_ROWS, N_GENES), draws(N_ROWS, N_GENES, seed=1), 0.4, 0.3
    non_deg = (draws(N_ROWS, N_GENES, seed=3) > 0).float()
    as_printed = 0.0
    for row in range(N_ROWS):
        squared = sum((predicted[row] - target[row]).square().tolist())
        penalties = huber(predicted[row], torch.tensor(delta)) * non_deg[row]
        as_printed += WEIGHT[row].item() * (squared + weight * sum(penalties.tolist())) / N_ROWS
    ours = reconstruction_loss(predicted, target, WEIGHT)
    ours = ours + weight * non_deg_loss(predicted, non_deg, delta, "mean", WEIGHT)
    assert ours.item() * N_GENES == pytest.approx(as_printed, rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_penalty_of_heads_is_the_mean_of_theirs(reduction: str) -> None:
    heads = [draws(N_ROWS, N_GENES, seed=seed) for seed in (0, 1, 2)]
    non_deg = (draws(N_ROWS, N_GENES, seed=3) > 0).float()
    each = [non_deg_loss(head, non_deg, 0.4, reduction, WEIGHT).item() for head in heads]
    together = non_deg_loss(torch.stack(heads), non_deg, 0.4, reduction, WEIGHT)
    assert together.item() == pytest.approx(sum(each) / len(each), rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_degs_are_never_penalised(reduction: str) -> None:
    predicted = draws(N_ROWS, N_GENES).requires_grad_()
    loss = non_deg_loss(predicted, torch.zeros(N_ROWS, N_GENES), 0.4, reduction, WEIGHT)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert present(predicted.grad).abs().sum() == 0


def test_alignment_equals_a_plain_loop_over_equation_20() -> None:
    z, t = draws(N_ROWS, SIZE), draws(N_ROWS, SIZE, seed=1)
    expected = 0.0
    for p in range(N_ROWS):
        z_norm = math.sqrt(sum(x**2 for x in z[p].tolist()))
        t_norm = math.sqrt(sum(x**2 for x in t[p].tolist()))
        squares = [(a / z_norm - b / t_norm) ** 2 for a, b in zip(z[p].tolist(), t[p].tolist(), strict=True)]
        expected += WEIGHT[p].item() * sum(squares) / N_ROWS
    assert cosine_alignment(z, t, WEIGHT).item() == pytest.approx(expected, rel=1e-5)


def test_alignment_is_0_for_one_direction_2_for_right_angles_4_for_opposites() -> None:
    one = torch.ones(1)
    right = torch.tensor([[3.0, 0.0]])
    assert cosine_alignment(right, torch.tensor([[0.1, 0.0]]), one).item() == pytest.approx(0)
    assert cosine_alignment(right, torch.tensor([[0.0, 7.0]]), one).item() == pytest.approx(2)
    assert cosine_alignment(right, torch.tensor([[-5.0, 0.0]]), one).item() == pytest.approx(4)


def test_perturbation_of_weight_0_teaches_no_alignment() -> None:
    weight = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    for align in (cosine_alignment, alignment_loss(LossConfig(alignment="contrastive"))):
        z = draws(N_ROWS, SIZE).requires_grad_()
        align(z, draws(N_ROWS, SIZE, seed=1), weight).backward()  # type: ignore[no-untyped-call]
        assert present(z.grad)[1].abs().sum() == 0
        assert present(z.grad)[0].abs().sum() > 0


@pytest.mark.parametrize("alignment", ["frozen", "paper", "contrastive"])
def test_alignment_of_zero_vectors_has_a_finite_gradient(alignment: str) -> None:
    align = alignment_loss(LossConfig(alignment=alignment))
    for weight in (torch.zeros(N_ROWS), torch.ones(N_ROWS)):
        z = torch.zeros(N_ROWS, SIZE, requires_grad=True)
        loss = align(z, torch.zeros(N_ROWS, SIZE), weight)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.isfinite()
        assert present(z.grad).isfinite().all()


def test_contrastive_alignment_equals_a_plain_loop() -> None:
    z, t, temperature = draws(N_ROWS, SIZE), draws(N_ROWS, SIZE, seed=1), 0.3
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.5])
    alternatives = [p for p in range(N_ROWS) if weight[p] > 0]
    expected = 0.0
    for p in alternatives:
        cosines = {q: torch.cosine_similarity(z[p], t[q], dim=0).item() for q in alternatives}
        terms = {q: math.exp(cosine / temperature) for q, cosine in cosines.items()}
        expected -= weight[p].item() * math.log(terms[p] / sum(terms.values())) / N_ROWS
    loss = contrastive_alignment(z, t, weight, temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_one_direction_for_all_is_no_minimum_of_contrastive_alignment_only() -> None:
    same, weight = torch.ones(N_ROWS, SIZE), torch.ones(N_ROWS)
    assert cosine_alignment(same, same, weight).item() == pytest.approx(0, abs=1e-6)
    collapsed = contrastive_alignment(same, same, weight, 0.1).item()
    assert collapsed == pytest.approx(math.log(N_ROWS))
    distinct = torch.eye(N_ROWS)
    assert contrastive_alignment(distinct, distinct, weight, 0.1).item() < 0.01


@pytest.mark.parametrize("lambda_non", [0.0, 3e-4, 0.1])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_non_deg_amplitude_shrinks_as_stated(lambda_non: float, reduction: str) -> None:
    n_genes, target = 40, 0.7
    n_penalties = n_genes if reduction == "sum" else 1

    def objective(d: float) -> float:
        # Every gene alike and none a DEG, far within the quadratic range.
        return (d - target) ** 2 + lambda_non * n_penalties * d**2 / 2

    best = minimize_scalar(objective).x
    shrinkage = non_deg_shrinkage(lambda_non, reduction, n_genes)
    assert shrinkage == pytest.approx(best / target, rel=1e-5)
