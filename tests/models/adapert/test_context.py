import math

import pytest
import torch
from fixtures.narrowed import present
from scipy.stats import kstest

from adapert.models.adapert.context import WEIGHTINGS, NodeScorer, above_threshold, best_nodes, gumbel_softmax

N_NODES, N_PERTURBATIONS, SIZE = 7, 3, 4
FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu}


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(N_NODES, SIZE, generator=generator),
        torch.randn(N_PERTURBATIONS, SIZE, generator=generator),
    )


def random_scores() -> torch.Tensor:
    return torch.randn(N_PERTURBATIONS, N_NODES, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_scores_equal_a_plain_loop_over_equations_9_and_10(activation: str) -> None:
    torch.manual_seed(0)
    scorer = NodeScorer(SIZE, 5, activation)
    h, s = embeddings()
    concatenated_weight = torch.cat([scorer.node.weight, scorer.text.weight], dim=1)  # W_c = [W_h | W_s]
    w = scorer.weight.weight[0]
    for p in range(N_PERTURBATIONS):
        a = []
        for v in range(N_NODES):
            c = torch.cat([h[v], s[p]])
            a.append((w @ FUNCTIONS[activation](concatenated_weight @ c)).item())
        torch.testing.assert_close(scorer(h, s)[p], torch.tensor(a))


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_relaxed_choice_equals_a_plain_loop_over_equations_11_and_12(tau: float) -> None:
    score = random_scores()
    uniform = torch.rand(score.shape, generator=torch.Generator().manual_seed(5))
    relaxed = gumbel_softmax(score, tau, torch.Generator().manual_seed(5))
    for p in range(N_PERTURBATIONS):
        total = sum(math.exp(a) for a in score[p].tolist())
        log_alpha = [math.log(math.exp(a) / total) for a in score[p].tolist()]
        noise = [-math.log(-math.log(u)) for u in uniform[p].tolist()]
        terms = [math.exp((log_alpha[v] + noise[v]) / tau) for v in range(N_NODES)]
        torch.testing.assert_close(relaxed[p], torch.tensor(terms) / sum(terms))


def test_noise_is_gumbel() -> None:
    # The difference of two Gumbel(0, 1) draws is Logistic(0, 1).
    relaxed = gumbel_softmax(torch.zeros(4000, 2), 1.0, torch.Generator().manual_seed(0))
    difference = (relaxed[:, 0].log() - relaxed[:, 1].log()).numpy()
    assert kstest(difference, "logistic").pvalue > 0.01


def test_choice_of_one_node_follows_alpha() -> None:
    alpha = torch.tensor([0.6, 0.3, 0.1])
    relaxed = gumbel_softmax(alpha.log().expand(20_000, -1), 1.0, torch.Generator().manual_seed(0))
    shares = torch.bincount(relaxed.argmax(dim=1), minlength=3) / 20_000
    torch.testing.assert_close(shares, alpha, atol=0.015, rtol=0)


def test_prediction_has_no_noise() -> None:
    score = random_scores()
    torch.testing.assert_close(gumbel_softmax(score, 1.0, None), torch.softmax(score, dim=1))
    torch.testing.assert_close(gumbel_softmax(score, 0.5, None), torch.softmax(2 * score, dim=1))


def test_threshold_counts_in_units_of_the_uniform_probability() -> None:
    alpha = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    nobody = torch.zeros(1, 4)
    assert above_threshold(alpha, 1.0, nobody).tolist() == [[1, 1, 0, 0]]  # T = 0.25
    assert above_threshold(alpha, 1.6, nobody).tolist() == [[1, 0, 0, 0]]  # T = 0.4
    assert above_threshold(alpha, 0.4, nobody).tolist() == [[1, 1, 1, 0]]  # T = 0.1


def test_probability_at_the_threshold_is_not_selected() -> None:
    assert above_threshold(torch.full((1, 4), 0.25), 1.0, torch.zeros(1, 4)).sum() == 0


def test_perturbed_gene_is_always_selected() -> None:
    alpha = torch.tensor([[0.7, 0.2, 0.1]])
    perturbed = torch.tensor([[0.0, 0.0, 1.0]])
    assert above_threshold(alpha, 1.5, perturbed).tolist() == [[1, 0, 1]]
    assert above_threshold(alpha, 100.0, perturbed).tolist() == [[0, 0, 1]]
    assert best_nodes(alpha, 1, perturbed).tolist() == [[1, 0, 1]]


def test_best_nodes_are_the_largest_and_never_more_than_there_are() -> None:
    alpha = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    nobody = torch.zeros(1, 4)
    assert best_nodes(alpha, 2, nobody).tolist() == [[0, 1, 0, 1]]
    assert best_nodes(alpha, 9, nobody).tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("selection", ["straight_through", "top_k", "literal"])
def test_selected_nodes_count_1_and_the_others_nothing(selection: str) -> None:
    alpha, is_selected = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[1.0, 0.0, 1.0]])
    assert torch.equal(WEIGHTINGS[selection](alpha, is_selected), is_selected)


def test_soft_nodes_count_alpha() -> None:
    alpha = torch.tensor([[0.7, 0.2, 0.1]])
    assert torch.equal(WEIGHTINGS["soft"](alpha, torch.tensor([[1.0, 0.0, 0.0]])), alpha)


@pytest.mark.parametrize("selection", ["straight_through", "top_k", "soft"])
def test_gradient_passes_alpha_unchanged(selection: str) -> None:
    alpha = torch.tensor([[0.7, 0.2, 0.1]], requires_grad=True)
    downstream = torch.tensor([[1.0, 2.0, 3.0]])
    (WEIGHTINGS[selection](alpha, torch.tensor([[1.0, 0.0, 0.0]])) * downstream).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(present(alpha.grad), downstream)


def test_literal_selection_has_no_gradient() -> None:
    alpha = torch.tensor([[0.7, 0.2, 0.1]], requires_grad=True)
    weights = WEIGHTINGS["literal"](alpha, above_threshold(alpha, 1.0, torch.zeros(1, 3)))
    assert not weights.requires_grad
