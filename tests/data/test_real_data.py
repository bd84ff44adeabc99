"""Real files, where they are present: the project works without them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.exhaustive import few_fast

from adapert.data.choices import PrepareChoices
from adapert.data.graph import read_network
from adapert.data.labels.rule import LabelRule
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import CONTROL, genes_of
from adapert.data.units import describe_degs, describe_units

PrepareReal = Callable[..., PreparedDataset]


@pytest.fixture(scope="module")
def prepare_real(real_data: Path) -> PrepareReal:
    def prepare_file(name: str | Path, **choices: Any) -> PreparedDataset:
        return prepare(
            real_data / name,
            real_data / "string_v12_edges.tsv.gz",
            real_data / "gene_text_lsa256.npz",
            PrepareChoices(**choices),
            aliases=real_data / "symbol_aliases.tsv",
        )

    return prepare_file


@pytest.fixture(scope="module")
def norman(prepare_real: PrepareReal) -> PreparedDataset:
    return prepare_real("norman_mcfaline_cells.h5ad", where=("cell_type=k562",))


@pytest.fixture(scope="module")
def replogle(prepare_real: PrepareReal) -> PreparedDataset:
    return prepare_real(
        "replogle_k562_responses.h5ad", kind="responses", n_genes=2000, units="up-regulation rank"
    )


def test_norman_k562_cells_are_prepared(norman: PreparedDataset) -> None:
    counts = norman.manifest.counts
    assert (counts["perturbations"], counts["combinations"], counts["control_cells"]) == (33, 15, 100)
    assert norman.manifest.coverage["perturbations_in_text"] == 33


def test_replogle_responses_are_prepared(replogle: PreparedDataset) -> None:
    counts = replogle.manifest.counts
    assert (counts["train"], counts["validation"], counts["test"]) == (394, 45, 146)
    assert replogle.manifest.coverage["perturbations_in_network"] == 567
    assert 2000 <= replogle.n_genes < 2000 + 585
    assert describe_units(replogle.manifest) == "up-regulation rank"
    assert describe_degs(replogle.manifest) == "marked by the responses' layer 'significant'"


def test_data_sets_of_plain_labels_keep_the_fingerprint_they_had(
    norman: PreparedDataset, replogle: PreparedDataset
) -> None:
    # Written down before labels were read by one rule.
    assert (norman.fingerprint, replogle.fingerprint) == ("7a650348da8b589d", "456979fd83e3892a")


def test_every_real_symbol_is_read_as_itself(real_data: Path) -> None:
    with np.load(real_data / "gene_text_lsa256.npz") as arrays:
        symbols = set(arrays["symbols"].tolist())
    network = read_network(real_data / "string_v12_edges.tsv.gz")
    symbols |= {*network["gene_a"], *network["gene_b"]}
    rule = LabelRule(known_genes=symbols)
    read_otherwise = {symbol for symbol in symbols if rule.read(symbol).name != symbol}
    # Cells under this label are controls in every public screen.
    assert read_otherwise == {"CTRL"}


FORMS: dict[str, tuple[Callable[[tuple[str, ...]], str], str]] = {
    "gears": (lambda genes: "+".join([*genes, "ctrl"][:2]), "ctrl"),
    "gears, reversed": (lambda genes: "+".join(["ctrl", *genes][-2:]), "ctrl"),
    "scperturb": ("_".join, "control"),
    "norman": (
        lambda genes: "__".join(2 * ["_".join([*genes, "NegCtrl0"][:2])]),
        "NegCtrl0_NegCtrl0__NegCtrl0_NegCtrl0",
    ),
    "lists": (lambda genes: "; ".join(reversed(genes)), "non-targeting_00012"),
    "vectors": (lambda genes: "|".join(f"sg{gene}_1" for gene in genes), "sgNTC_3"),
}


@pytest.fixture(scope="module")
def norman_k562(real_data: Path) -> anndata.AnnData:
    cells = anndata.read_h5ad(real_data / "norman_mcfaline_cells.h5ad")
    return cells[(cells.obs["cell_type"] == "k562").to_numpy()].copy()


@pytest.mark.parametrize("form", few_fast(FORMS, 1))
def test_norman_cells_are_the_same_whoever_wrote_their_labels(
    prepare_real: PrepareReal, norman_k562: anndata.AnnData, tmp_path: Path, form: str
) -> None:
    write, control = FORMS[form]
    labels = norman_k562.obs["perturbation"].astype(str)
    written = [control if label == CONTROL else write(genes_of(label)) for label in labels]
    cells = norman_k562.copy()
    cells.obs["perturbation"] = pd.Categorical(written)
    cells.write_h5ad(tmp_path / "written.h5ad")
    dataset = prepare_real(tmp_path / "written.h5ad")
    found = {
        name: int(number)
        for split in dataset.splits.values()
        for name, number in zip(split.table.perturbations.tolist(), split.table.n_cells, strict=True)
    }
    expected = labels[labels != CONTROL].map(lambda label: "+".join(sorted(genes_of(label))))
    assert found == expected.value_counts().to_dict()
    assert len(dataset.control_cells) == (labels == CONTROL).sum()
