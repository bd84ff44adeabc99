from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.kernel_ridge import KernelRidge

from adapert.data import simulate as simulating
from adapert.data.array_tables import PerturbationTable
from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import EFFECT_SIZES, genes_of
from adapert.data.simulate import simulate
from adapert.errors import InputError
from adapert.models.reference import REFERENCE_MODELS


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("default") / "simulated"
    simulate(out)
    return out


@pytest.fixture(scope="module")
def dataset(directory: Path) -> PreparedDataset:
    cells, network, text = (directory / name for name in ("cells.h5ad", "network.tsv.gz", "text.npz"))
    return prepare(cells, network, text, PrepareChoices(split_fractions=(0.5, 0.2, 0.3)))


@pytest.mark.slow
def test_default_data_set_keeps_the_fingerprint_it_had(dataset: PreparedDataset) -> None:
    # Written down before `deg_test` was a choice: data sets that were prepared earlier stay known.
    assert dataset.fingerprint == "8df69b554afe9711"


def test_counts_are_whole_numbers(directory: Path) -> None:
    cells = anndata.read_h5ad(directory / "cells.h5ad")
    assert not np.any(cells.X.data % 1)
    assert (cells.obs["perturbation"] == "control").sum() == 600


@pytest.mark.slow
def test_every_split_has_every_effect_size(dataset: PreparedDataset) -> None:
    for split in dataset.splits.values():
        assert set(split.table.effect_size.tolist()) == set(EFFECT_SIZES)


@pytest.mark.slow
def test_measured_deltas_follow_the_true_effects(directory: Path, dataset: PreparedDataset) -> None:
    truth = np.load(directory / "truth.npz")
    effects = pd.DataFrame(truth["effect"], index=truth["perturbations"], columns=truth["gene_names"])
    table = dataset.splits["train"].table
    true = effects.loc[table.perturbations.tolist(), dataset.gene_names.tolist()].to_numpy()
    is_large = table.effect_size == "large"
    correlations = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(table.delta[is_large], true[is_large], strict=True)
    ]
    assert np.median(correlations) > 0.8


@pytest.mark.slow
def test_unseen_effects_can_be_told_from_text_beyond_the_mean(dataset: PreparedDataset) -> None:
    node = {name: index for index, name in enumerate(dataset.shared.node_names.tolist())}

    def features(table: PerturbationTable) -> np.ndarray:
        return np.stack(
            [
                dataset.shared.text_embedding[[node[gene] for gene in genes_of(name)]].mean(axis=0)
                for name in table.perturbations.tolist()
            ]
        )

    def pearson(predicted: np.ndarray) -> float:
        pairs = zip(predicted, test.delta, strict=True)
        return float(np.mean([np.corrcoef(p, o)[0, 1] for p, o in pairs]))

    train, test = dataset.splits["train"].table, dataset.splits["test"].table
    mean = train.delta.mean(axis=0)
    ridge = KernelRidge(kernel="rbf", gamma=1.0, alpha=0.3).fit(features(train), train.delta - mean)
    assert pearson(mean + ridge.predict(features(test))) > pearson(np.tile(mean, (len(test.delta), 1))) + 0.1


def simulate_combinations(out: Path, interaction: float) -> tuple[PreparedDataset, pd.DataFrame]:
    """Prepare pairs of 20 genes in one batch with little noise, and read what genes do beyond their sum."""
    sizes: dict[str, Any] = {"n_genes": 100, "cells_per_perturbation": 100, "n_controls": 200}
    simulate(out, n_perturbations=60, n_combinations=40, n_batches=1, interaction=interaction, **sizes)
    cells, network, text = (out / name for name in ("cells.h5ad", "network.tsv.gz", "text.npz"))
    dataset = prepare(cells, network, text, PrepareChoices(split_scheme="combinations"))
    truth = np.load(out / "truth.npz")
    frame = pd.DataFrame(truth["interaction"], index=truth["perturbations"], columns=truth["gene_names"])
    return dataset, frame[dataset.gene_names.tolist()]


def errors_on_test(dataset: PreparedDataset) -> dict[str, float]:
    """Mean distance of models' predictions from the tested combinations."""
    test = dataset.splits["test"].table
    errors = {}
    for name in ("additive", "control", "ridge_text", "neighbour"):
        model = REFERENCE_MODELS[name]()
        model.fit(dataset)
        predicted = model.predict(test.perturbations.tolist())
        errors[name] = float(np.linalg.norm(predicted - test.delta, axis=1).mean())
    return errors


def test_where_genes_do_not_interact_the_sum_of_single_effects_is_best(tmp_path: Path) -> None:
    dataset, interaction = simulate_combinations(tmp_path / "out", 0)
    np.testing.assert_allclose(interaction, 0, atol=1e-12)
    errors = errors_on_test(dataset)
    assert errors.pop("additive") < 0.6 * min(errors.values())


def test_a_strong_interaction_is_measured_and_the_sum_misses_it(tmp_path: Path) -> None:
    dataset, interaction = simulate_combinations(tmp_path / "out", 1)
    tables = [split.table for split in dataset.splits.values()]
    delta = {name: row for t in tables for name, row in zip(t.perturbations.tolist(), t.delta, strict=True)}
    combinations = [name for name in delta if "+" in name]
    beyond = [delta[name] - sum(delta[gene] for gene in genes_of(name)) for name in combinations]
    true = interaction.loc[combinations].to_numpy()
    assert pearsonr(np.ravel(beyond), true.ravel()).statistic > 0.9
    errors = errors_on_test(dataset)
    assert errors["neighbour"] < 0.9 * errors["additive"]


def test_effects_add_up_but_for_the_interaction(tmp_path: Path) -> None:
    simulate(tmp_path / "out", **SMALL | {"n_perturbations": 12}, n_combinations=5, interaction=2)
    truth = np.load(tmp_path / "out" / "truth.npz")
    effect = dict(zip(truth["perturbations"].tolist(), truth["effect"], strict=True))
    combinations = [name for name in effect if "+" in name]
    assert len(combinations) == 5
    for name, beyond in zip(truth["perturbations"].tolist(), truth["interaction"], strict=True):
        np.testing.assert_allclose(effect[name] - sum(effect[gene] for gene in genes_of(name)), beyond)
        assert np.abs(beyond).max() == 0 if name not in combinations else np.abs(beyond).max() > 0.5


def test_same_seed_writes_the_same_cells(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(
            tmp_path / name, n_perturbations=6, n_genes=50, cells_per_perturbation=3, n_controls=5, seed=4
        )
    one, two = (anndata.read_h5ad(tmp_path / name / "cells.h5ad") for name in ("one", "two"))
    np.testing.assert_array_equal(one.X.toarray(), two.X.toarray())
    assert (tmp_path / "one/network.tsv.gz").read_bytes() == (tmp_path / "two/network.tsv.gz").read_bytes()


SMALL: dict[str, Any] = {"n_perturbations": 6, "n_genes": 50, "cells_per_perturbation": 30, "n_controls": 50}


def test_counts_drawn_in_parts_are_counts_of_the_same_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path / "whole", **SMALL)
    monkeypatch.setattr(simulating, "VALUES_AT_ONCE", 1_000)
    simulate(tmp_path / "parts", **SMALL)
    whole, parts = (anndata.read_h5ad(tmp_path / name / "cells.h5ad") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(parts.obs, whole.obs)
    assert parts.var_names.tolist() == whole.var_names.tolist()
    assert not np.any(parts.X.data % 1)
    np.testing.assert_allclose(parts.X.mean(), whole.X.mean(), rtol=0.02)
    for name in ("network.tsv.gz", "text.npz", "truth.npz"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_shuffled_cells_of_a_perturbation_lie_scattered(tmp_path: Path) -> None:
    simulate(tmp_path / "in_order", **SMALL)
    simulate(tmp_path / "shuffled", **SMALL, is_shuffled=True)
    labels = [
        anndata.read_h5ad(tmp_path / name / "cells.h5ad").obs["perturbation"].astype(str)
        for name in ("in_order", "shuffled")
    ]
    assert labels[0].is_monotonic_increasing or (labels[0] != labels[0].shift()).sum() == 7
    assert (labels[1] != labels[1].shift()).sum() > 100
    assert labels[0].value_counts().to_dict() == labels[1].value_counts().to_dict()


def test_effects_of_a_gene_do_not_depend_on_the_others_perturbed(tmp_path: Path) -> None:
    truths = []
    for n_perturbations in (6, 40):
        simulate(tmp_path / str(n_perturbations), **SMALL | {"n_perturbations": n_perturbations})
        truth = np.load(tmp_path / str(n_perturbations) / "truth.npz")
        truths.append(dict(zip(truth["perturbations"].tolist(), truth["effect"], strict=True)))
    shared = truths[0].keys() & truths[1].keys()
    assert shared
    for name in shared:
        np.testing.assert_array_equal(truths[0][name], truths[1][name])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_genes": 7, "n_perturbations": 4}, "must measure at least 8 genes, but it is to measure 7"),
        ({"n_controls": 0}, "must have cells, controls and batches, but one is 0"),
        ({"n_genes": 200, "n_pathways": 1}, "at least 2 pathways and no more than genes"),
        ({"n_perturbations": 90, "n_genes": 50}, "to perturb 81 of 50"),
        ({"n_combinations": 110}, "110 of 120 perturbations leave 10 single genes, which form 45 pairs"),
        ({"n_combinations": 200}, "200 of 120 perturbations leave 0 single genes"),
        ({"n_combinations": -1}, "--combinations must be 0 or more, but it is -1"),
        ({"interaction": float("nan")}, "--interaction must be 0 to 5 log units, but it is nan"),
    ],
)
def test_impossible_sizes_are_refused(tmp_path: Path, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "out", **sizes)


def test_existing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output directory must be new"):
        simulate(tmp_path, n_perturbations=6, n_genes=50, cells_per_perturbation=3, n_controls=5)
