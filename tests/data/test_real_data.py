"""Real files, where they are present: the project works without them."""

import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.units import describe_degs, describe_units


@pytest.fixture
def prepare_real(real_data):
    def prepare_file(name, **choices):
        return prepare(
            real_data / name,
            real_data / "string_v12_edges.tsv.gz",
            real_data / "gene_text_lsa256.npz",
            PrepareChoices(**choices),
            aliases=real_data / "symbol_aliases.tsv",
            note=lambda line: None,
        )

    return prepare_file


def test_norman_k562_cells_are_prepared(prepare_real):
    dataset = prepare_real("norman_mcfaline_cells.h5ad", where=("cell_type=k562",))
    counts = dataset.manifest["counts"]
    assert (counts["perturbations"], counts["combinations"], counts["control_cells"]) == (33, 15, 100)
    assert dataset.manifest["coverage"]["perturbations_in_text"] == 33


def test_replogle_responses_are_prepared(prepare_real):
    dataset = prepare_real(
        "replogle_k562_responses.h5ad", kind="responses", n_genes=2000, units="up-regulation rank"
    )
    counts = dataset.manifest["counts"]
    assert (counts["train"], counts["validation"], counts["test"]) == (394, 45, 146)
    assert dataset.manifest["coverage"]["perturbations_in_network"] == 567
    assert 2000 <= dataset.n_genes < 2000 + 585
    assert describe_units(dataset.manifest) == "up-regulation rank"
    assert describe_degs(dataset.manifest) == "marked by the responses' layer 'significant'"
