from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.builders import SmallApp
from fixtures.dataset import N_GENES, N_NODES, build_tiny_dataset
from fixtures.narrowed import of_kind

from adapert.errors import InputError
from adapert.models.app.features import FEATURES, GeneTable, ProjectedFeatures, SummedFeatures

DATASET = build_tiny_dataset()


@pytest.mark.parametrize("name", FEATURES)
def test_features_tell_genes_apart(small_app: SmallApp, name: str) -> None:
    with torch.no_grad():
        rows = small_app({"app.node_features": name}).features()
    assert rows.shape == (N_NODES, 8)
    assert (torch.pdist(rows[:3]) > 1e-3).all()


def test_random_rows_are_drawn_by_the_seed_and_never_trained(small_app: SmallApp) -> None:
    first, again, other = (
        of_kind(GeneTable, small_app({"app.node_features": "random"}, seed=seed).features).rows
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first.requires_grad
    assert of_kind(GeneTable, small_app({"app.node_features": "one_hot"}).features).rows.requires_grad


def test_expression_is_standardised_and_unknown_where_a_gene_was_not_measured(small_app: SmallApp) -> None:
    features = of_kind(ProjectedFeatures, small_app({"app.node_features": "expression"}).features)
    control = DATASET.shared.control_mean
    measured = features.known().detach().numpy()[:N_GENES, 0]
    np.testing.assert_allclose(measured, (control - control.mean()) / control.std(), rtol=1e-5, atol=1e-6)
    unknown = features.known()[N_GENES:]
    assert torch.equal(unknown, features.known.absent.expand(N_NODES - N_GENES, 1))


def test_both_are_the_learnable_row_plus_the_projected_text(small_app: SmallApp) -> None:
    features = of_kind(SummedFeatures, small_app().features)
    table, text = features.parts
    torch.testing.assert_close(features(), table() + text())
    assert isinstance(text, ProjectedFeatures)
    torch.testing.assert_close(
        text()[0],
        text.projection.weight @ torch.from_numpy(DATASET.shared.text_embedding[0]) + text.projection.bias,
    )


def test_untrained_text_has_the_amplitude_of_a_learnable_row(small_app: SmallApp) -> None:
    features = small_app({"app.node_features": "text", "app.size": 512}).features
    assert features()[0].std().item() == pytest.approx(1, rel=0.15)


def test_shuffled_text_is_a_permutation_of_genes(small_app: SmallApp) -> None:
    def rows(form: str) -> list[list[float]]:
        app = small_app({"app.node_features": "text", "data.text_embedding": form})
        (text,) = of_kind(SummedFeatures, app.features).parts
        rows: list[list[float]] = of_kind(ProjectedFeatures, text).known.embedding.tolist()
        return rows

    original, shuffled = rows("original"), rows("shuffled")
    assert original != shuffled
    assert sorted(original) == sorted(shuffled)


def test_expression_of_a_table_of_responses_is_refused(small_app: SmallApp) -> None:
    silent = replace(DATASET.shared, control_mean=np.zeros(N_GENES, dtype=np.float32))
    with pytest.raises(InputError, match=r"app\.node_features 'expression' needs .* Use 'one_hot', 'text'"):
        small_app({"app.node_features": "expression"}, dataset=replace(DATASET, shared=silent))
