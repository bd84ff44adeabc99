import numpy as np
import pytest
from fixtures.dataset import N_NODES, build_tiny_dataset, with_second_embeddings
from sklearn.linear_model import RidgeCV

from adapert.config import Config
from adapert.data.schema import genes_of
from adapert.models.gene_effects import (
    PENALTIES,
    GeneEffects,
    MeanOfTrained,
    TextMap,
    effects_of_genes,
    trained_members,
)

DATASET = build_tiny_dataset()
TRAINED = np.array([0, 1, 4, 5, 6, 8, 9, 11])
OTHERS = np.setdiff1d(np.arange(N_NODES), TRAINED)
EFFECTS = np.random.default_rng(0).normal(size=(len(TRAINED), 3))


def test_genes_that_training_does_not_perturb_do_what_the_others_do_on_average() -> None:
    completed = MeanOfTrained(DATASET, Config(), 0, TRAINED)(EFFECTS)
    np.testing.assert_array_equal(completed[TRAINED], EFFECTS)
    np.testing.assert_allclose(completed[OTHERS], np.tile(EFFECTS.mean(axis=0), (len(OTHERS), 1)))


@pytest.mark.parametrize("noise", [0.05, 2.0])
def test_text_says_what_scikit_learns_leave_one_out_ridge_does(noise: float) -> None:
    dataset = with_second_embeddings(DATASET)
    shared = dataset.shared
    text = np.concatenate([shared.text_embedding, shared.embeddings["rpe1"].embedding], axis=1)
    generator = np.random.default_rng(1)
    effects = text[TRAINED] @ generator.normal(size=(text.shape[1], 2)) + 5
    effects += noise * generator.normal(size=effects.shape)
    config = Config().with_changes({"data.embeddings": "text+rpe1"})
    completed = TextMap(dataset, config, 0, TRAINED)(effects)
    ridge = RidgeCV(PENALTIES, fit_intercept=False).fit(text[TRAINED], effects - effects.mean(axis=0))
    expected = effects.mean(axis=0) + ridge.predict(text)
    np.testing.assert_allclose(completed[OTHERS], expected[OTHERS], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(completed[TRAINED], effects)


def test_without_any_text_or_its_genes_all_have_the_mean() -> None:
    silent = Config().with_changes({"data.embeddings": "none"})
    expected = MeanOfTrained(DATASET, silent, 0, TRAINED)(EFFECTS)
    np.testing.assert_allclose(TextMap(DATASET, silent, 0, TRAINED)(EFFECTS), expected)
    completed = TextMap(DATASET, Config(), 0, TRAINED)(EFFECTS)
    np.testing.assert_allclose(completed[[3, 14]], expected[[3, 14]])  # neither has text


def test_shuffled_text_is_of_other_genes() -> None:
    shuffled = Config().with_changes({"data.text_embedding": "shuffled"})
    own, others = (TextMap(DATASET, config, 0, TRAINED)(EFFECTS) for config in (Config(), shuffled))
    assert not np.allclose(own, others)


def test_a_combinations_genes_share_what_genes_alone_do_not_explain() -> None:
    a, b, c, d = np.eye(4)
    shifts = np.array([a, a + 2 * b, a + b + 4 * c, 6 * d])
    # Perturbed: gene 7 alone; 7 and 2; 7, 2 and 9; 4 and 5.
    effects = effects_of_genes(shifts, [[7], [7, 2], [9, 7, 2], [4, 5]])
    of_2 = (2 * b + (b + 4 * c) / 2) / 2
    np.testing.assert_allclose(effects, [of_2, 3 * d, 3 * d, a, (b + 4 * c) / 2])


def test_trained_genes_are_those_of_training_perturbations() -> None:
    names = DATASET.splits["train"].table.perturbations.tolist()
    effects = GeneEffects(DATASET, Config(), 0, "mean", 2)
    assert trained_members(DATASET) == [DATASET.perturbed_nodes(name) for name in names]
    found = DATASET.shared.node_names[effects.trained].tolist()
    assert found == sorted({gene for name in names for gene in genes_of(name)})
