from dataclasses import replace

import numpy as np
import torch
from fixtures.builders import SmallPerturbedVae
from fixtures.dataset import N_NODES, build_tiny_dataset, with_second_embeddings
from fixtures.narrowed import of_kind

from adapert.data.schema import genes_of
from adapert.models.perturbed_vae.effects import EffectTable, LinearEffects

DATASET = build_tiny_dataset()
NODES = torch.arange(N_NODES)


def test_effects_are_linear_in_every_embedding_and_the_spectrum(small_vae: SmallPerturbedVae) -> None:
    effects = of_kind(
        LinearEffects,
        small_vae({"data.embeddings": "text+rpe1"}, with_second_embeddings(DATASET)).effects,
    )
    with torch.no_grad():
        effects.bias.copy_(torch.arange(6.0))
        tables = [table(NODES).numpy() for table in effects.tables]
        weights = [weight.numpy() for weight in effects.projections.parameters()]
        logits, e = effects(NODES)
    assert [table.shape[1] for table in tables] == [6, 4, 4]  # text, another screen, spectrum
    expected = sum(table @ weight.T for table, weight in zip(tables, weights, strict=True)) + np.arange(6)
    found = np.concatenate([logits.numpy(), e.numpy()], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_gene_that_training_does_not_perturb_has_the_mean_of_those_that_it_does(
    small_vae: SmallPerturbedVae,
) -> None:
    changes = {"perturbed_vae.effects": "table"}
    model = small_vae(changes)
    table = of_kind(EffectTable, model.effects)
    train = DATASET.splits["train"].table.perturbations
    trained = {gene for perturbation in train for gene in genes_of(str(perturbation))}
    is_trained = np.isin(DATASET.shared.node_names, sorted(trained))
    assert 0 < is_trained.sum() < N_NODES
    rows = table.rows.detach().numpy()
    expected = np.where(is_trained[:, None], rows, rows[is_trained].mean(axis=0))
    found = torch.cat(table(NODES), dim=1).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # Without splits, weights say which genes they are.
    unsplit = small_vae(changes, replace(DATASET, splits={}))
    unsplit.load_state_dict(model.state_dict())
    restored = of_kind(EffectTable, unsplit.effects)
    assert torch.equal(torch.cat(restored(NODES), dim=1), torch.cat(table(NODES), dim=1))
