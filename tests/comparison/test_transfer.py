"""Models of one data set scored on another: what of it is scored, what is left out, and what is recorded."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.command import Simulated
from fixtures.dataset import build_tiny_dataset, write_prepared

from adapert.comparison.assess import evaluate_configs
from adapert.comparison.plan import ComparisonPlan
from adapert.comparison.summary import SCORED_MEAN, read_evaluation
from adapert.comparison.test_access import read_accesses
from adapert.comparison.transfer import ScoredData, read_scored_data
from adapert.config import Config
from adapert.data.array_tables import SharedTable
from adapert.data.choices import PrepareChoices
from adapert.data.manifest import MANIFEST_FILE, Manifest, read_manifest
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SplitName
from adapert.errors import InputError
from adapert.evaluation.metrics import pearson_delta
from adapert.evaluation.predictions import read_predictions
from analysis.sources import draw_evaluation

RENAMED = {"G03": "X03", "G10": "X10", "G13": "X13", "G14": "X14"}
"""Genes of the other data set: two measured ones and two nodes that the models' data lack."""


@pytest.fixture(scope="module")
def own() -> PreparedDataset:
    return build_tiny_dataset(splits=(4, 2, 10))


@pytest.fixture(scope="module")
def other(own: PreparedDataset) -> PreparedDataset:
    """Another cell line: other cells, other splits, and some genes of other names, its genes reversed."""
    dataset = build_tiny_dataset(seed=2, splits=(4, 6, 8))
    shared, n = dataset.shared, dataset.n_genes
    names = np.array([RENAMED.get(name, name) for name in shared.node_names.tolist()])
    splits = {
        split: replace(part, table=replace(part.table, perturbations=rename(part.table.perturbations)))
        for split, part in dataset.splits.items()
    }
    names[:n] = names[:n][::-1]  # what is measured stays where it is, under the names of others
    manifest = replace(dataset.manifest, fingerprint="other")
    return replace(dataset, manifest=manifest, shared=replace(shared, node_names=names), splits=splits)


def rename(perturbations: np.ndarray) -> np.ndarray:
    return np.array(
        ["+".join(RENAMED.get(gene, gene) for gene in name.split("+")) for name in perturbations.tolist()]
    )


@pytest.fixture(scope="module")
def place(other: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write_prepared(other, folder := tmp_path_factory.mktemp("other") / "prepared")
    return folder


def plan_on(place: Path, **changes: Any) -> ComparisonPlan:
    asked: dict[str, Any] = {"models": ("mean",), "split": "test", "on": place}
    return ComparisonPlan(**(asked | changes))


def read(own: PreparedDataset, place: Path, **config: Any) -> ScoredData:
    return read_scored_data(plan_on(place), [Config().with_changes(config)], own)


def learned(dataset: PreparedDataset) -> set[str]:
    return {name for part in ("train", "validation") for name in dataset.splits[part].table.perturbations}


def test_scored_are_common_genes_and_perturbations_that_no_fit_reads(
    own: PreparedDataset, other: PreparedDataset, place: Path
) -> None:
    tested = read(own, place)
    view, transfer = tested.dataset, tested.transfer
    assert transfer is not None
    common = [name for name in own.gene_names.tolist() if name in other.gene_names]
    assert view.gene_names.tolist() == common
    assert transfer.n_genes == len(common) == 10
    asked = other.splits["test"].table.perturbations.tolist()
    unseen = [name for name in asked if name not in learned(own)]
    known = [name for name in unseen if not set(name.split("+")) & set(RENAMED.values())]
    assert view.splits["test"].table.perturbations.tolist() == known
    counts = (transfer.n_perturbations, transfer.n_learned, transfer.n_unknown)
    assert counts == (len(asked), len(asked) - len(unseen), len(unseen) - len(known))
    assert min(counts) > 0
    assert (
        f"Trained on data tiny, scored on data other: {len(common)} genes measured in both, of 12 and 12."
        in (transfer.describe())
    )


@pytest.mark.parametrize(
    ("changes", "splits"),
    [
        ({"split": "validation"}, ("train",)),
        ({"split": "validation", "refit": "train+validation"}, ("train", "validation")),
        ({"split": "test"}, ("train", "validation")),
    ],
)
def test_validation_perturbations_are_scored_where_they_only_choose(
    own: PreparedDataset,
    other: PreparedDataset,
    place: Path,
    changes: dict[str, Any],
    splits: tuple[SplitName, ...],
) -> None:
    tested = read_scored_data(plan_on(place, **changes), [Config()], own)
    scored = set(tested.dataset.splits[changes["split"]].table.perturbations.tolist())
    learned = {name for split in splits for name in own.splits[split].table.perturbations.tolist()}
    asked = set(other.splits[changes["split"]].table.perturbations.tolist())
    lacking = {name for name in asked if set(name.split("+")) & set(RENAMED.values())}
    assert scored == asked - learned - lacking
    assert tested.transfer is not None
    assert tested.transfer.learned_splits == splits


def test_the_view_has_the_other_data_s_values_of_each_gene(
    own: PreparedDataset, other: PreparedDataset, place: Path
) -> None:
    view = read(own, place).dataset
    table, whole = view.splits["test"].table, other.splits["test"].table
    deltas = pd.DataFrame(whole.delta, whole.perturbations, other.gene_names)
    expected = deltas.loc[table.perturbations.tolist(), view.gene_names.tolist()]
    np.testing.assert_array_equal(table.delta, expected)
    np.testing.assert_array_equal(
        view.shared.control_mean,
        pd.Series(other.shared.control_mean, other.gene_names)[view.gene_names.tolist()],
    )


def test_the_mean_of_the_tested_data_is_a_reference(
    own: PreparedDataset, other: PreparedDataset, place: Path
) -> None:
    tested = read(own, place)
    (reference,) = tested.references
    assert reference.variant == SCORED_MEAN
    train = other.splits["train"].table
    deltas = pd.DataFrame(train.delta, train.perturbations, other.gene_names)[tested.dataset.gene_names]
    singles = [name for name in tested.dataset.splits["test"].table.perturbations if "+" not in name]
    rows = np.isin(tested.dataset.splits["test"].table.perturbations, singles)
    mean = np.average(deltas, axis=0, weights=train.n_cells)
    np.testing.assert_allclose(reference.predicted_delta[rows], np.tile(mean, (len(singles), 1)), rtol=1e-6)


def test_perturbations_of_genes_that_nothing_is_known_of_are_scored_and_counted(
    own: PreparedDataset, place: Path
) -> None:
    blank = read(own, place).dataset.splits["test"].table.perturbations.tolist()[0].split("+")
    names = own.shared.node_names
    nodes = np.flatnonzero(np.isin(names, blank))
    touches = np.isin(own.shared.edge_source, nodes) | np.isin(own.shared.edge_target, nodes)
    edges = {
        field: getattr(own.shared, field)[~touches]
        for field in ("edge_source", "edge_target", "edge_score", "edge_rank")
    }
    unknown = replace(own.shared, **edges, has_text=own.shared.has_text & ~np.isin(names, blank))
    before, after = (read(replace(own, shared=shared), place) for shared in (own.shared, unknown))
    assert before.transfer is not None
    assert after.transfer is not None
    assert after.transfer.n_blank > before.transfer.n_blank == 0
    assert "without edges and embeddings" in after.transfer.describe()
    scored = [one.dataset.splits["test"].table.perturbations.tolist() for one in (before, after)]
    assert scored[0] == scored[1]


def test_a_graph_of_perturbed_genes_cannot_be_asked_for_others(own: PreparedDataset, place: Path) -> None:
    asked = read(own, place).dataset.splits["test"].table.perturbations.tolist()
    outside = asked[0].split("+")
    is_perturbed = own.shared.is_perturbed & ~np.isin(own.shared.node_names, outside)
    narrowed = replace(own, shared=replace(own.shared, is_perturbed=is_perturbed))
    left = read(narrowed, place, **{"graph.nodes": "perturbed"}).dataset.splits["test"].table.perturbations
    assert not {gene for name in left.tolist() for gene in name.split("+")} & set(outside)
    assert read(narrowed, place).dataset.splits["test"].table.perturbations.tolist() == asked


def with_manifest(dataset: PreparedDataset, **changes: Any) -> PreparedDataset:
    return replace(dataset, manifest=replace(dataset.manifest, **changes))


def with_names(dataset: PreparedDataset, change: Any) -> PreparedDataset:
    names = np.array([change(name) for name in dataset.shared.node_names.tolist()])
    shared: SharedTable = replace(dataset.shared, node_names=names)
    return replace(dataset, shared=shared)


RANKS = {"kind": "responses", "choices": PrepareChoices(kind="responses", units="ranks")}
SCALED = {"counts": {"median_counts": 900}, "choices": PrepareChoices(target_sum=10_000)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "other"}, "both have the fingerprint other. Leave it out"),
        (RANKS, "models are trained on deltas in ranks, and '.*' has log1p units"),
        (
            SCALED,
            "cells of 10,000 counts, and those in '.*' have 4,000. Prepare both with the same --target-sum",
        ),
    ],
)
def test_data_that_do_not_compare_are_refused(
    own: PreparedDataset, other: PreparedDataset, tmp_path: Path, change: Mapping[str, Any], message: str
) -> None:
    write_prepared(with_manifest(other, counts={"median_counts": 900}), tmp_path / "b")
    with pytest.raises(InputError, match=message):
        read(with_manifest(own, **change), tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name: f"H{name}", "has 0 of the 12 that models are trained on \\('G11'"),
        (str.lower, "has 0 of the 12 that models are trained on, 10 but for their case, as of two species"),
    ],
)
def test_data_without_common_genes_are_refused(
    own: PreparedDataset, place: Path, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("'G11'", "'X10|'G11'")):
        read(with_names(own, change), place)


def test_data_of_which_all_was_learned_are_refused(
    own: PreparedDataset, other: PreparedDataset, place: Path
) -> None:
    part = own.splits["train"]
    names = other.splits["test"].table.perturbations
    known = replace(part, table=replace(part.table, perturbations=names))
    with pytest.raises(
        InputError, match=r"of the 8 test perturbations in .*, 8 are in the training or validation split"
    ):
        read(replace(own, splits=dict(own.splits) | {"train": known}), place)


def test_an_old_format_is_refused(own: PreparedDataset, place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "old")
    manifest = json.loads((place / MANIFEST_FILE).read_text()) | {"format_version": 1}
    (tmp_path / "old" / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="must have format version"):
        read(own, tmp_path / "old")


@pytest.fixture(scope="module")
def lines(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two batches of one experiment, as two cell lines whose genes differ and whose splits agree in part."""
    folders = []
    for batch, n_genes in (("batch1", 30), ("batch2", 25)):
        folder = tmp_path_factory.mktemp(batch)
        choices = PrepareChoices(
            where=(f"batch={batch}",), n_genes=n_genes, split_fractions=(0.4, 0.2, 0.4), min_cells=3
        )
        dataset = prepare(simulated.cells, simulated.network, simulated.embeddings, choices)
        write_prepared(dataset, folder / "prepared")
        folders.append(folder / "prepared")
    return folders[0], folders[1]


@pytest.fixture
def config(lines: tuple[Path, Path]) -> Config:
    manifest: Manifest = read_manifest(lines[0])
    return Config().with_changes({"data.path": str(lines[0]), "data.fingerprint": manifest.fingerprint})


def test_a_transfer_s_values_are_those_of_a_plain_computation(
    lines: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"  # the test split of the models' own data is not even there
    shutil.copytree(lines[0], hidden)
    shutil.rmtree(hidden / "test")
    own, other = config.with_changes({"data.path": str(hidden)}), lines[1]
    found = evaluate_configs({"": own}, plan_on(other), tmp_path)
    a, b = lines[0], lines[1]
    genes = {path: np.load(path / "shared" / "node_names.npy") for path in (a, b)}
    genes = {
        path: names[: np.load(path / "shared" / "n_genes.npy")].tolist() for path, names in genes.items()
    }
    common = [name for name in genes[a] if name in genes[b]]
    assert len(common) < min(map(len, genes.values()))
    weights, train = np.load(a / "train" / "n_cells.npy"), np.load(a / "train" / "delta.npy")
    mean = np.average(train.astype(np.float64), axis=0, weights=weights)
    predicted = [mean[genes[a].index(name)] for name in common]
    observed = np.load(b / "test" / "delta.npy")[:, [genes[b].index(name) for name in common]]
    names = np.load(b / "test" / "perturbations.npy").tolist()
    frame = found.frame.query("variant == 'mean' and metric == 'pearson_delta'").set_index("perturbation")
    singles = [name for name in frame.index if "+" not in name]
    expected = [np.corrcoef(predicted, observed[names.index(name)])[0, 1] for name in singles]
    np.testing.assert_allclose(frame.loc[singles, "value"], expected, atol=1e-6)
    assert set(frame["trained_on"]) == {read_manifest(a).fingerprint}
    assert set(frame["scored_on"]) == {read_manifest(b).fingerprint}
    assert {SCORED_MEAN, "split_half"} <= set(found.frame["variant"])


def test_an_access_counts_for_the_opened_data_and_names_both(
    lines: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    own, other = (read_manifest(path).fingerprint for path in lines)
    found = evaluate_configs({"": config}, plan_on(lines[1]), tmp_path)
    (access,) = read_accesses(tmp_path)
    assert (access.data_fingerprint, access.trained_on, access.on) == (other, own, str(lines[1]))
    assert found.access is not None
    assert found.access.describe() == f"This is access 1 to the test split of data {other} (no study)."
    with pytest.raises(InputError, match=f"that of data {other} .* was opened"):
        evaluate_configs({"": config}, plan_on(lines[1]), tmp_path)
    evaluate_configs(
        {"": config}, ComparisonPlan(models=("mean",), split="test"), tmp_path
    )  # its own is shut
    _, record = read_evaluation(found.folder)
    assert record["opened"]["data_fingerprint"] == other
    assert record["opened"]["trained_on"] == record["transfer"]["trained_on"] == own
    kept = read_predictions(found.folder)
    assert kept.uns["trained_on"] == own
    assert kept.shape[1] == record["transfer"]["n_genes"]
    paths = draw_evaluation(found.folder, tmp_path / "drawn", only=["table_1_performance"])
    markdown = next(path for path in paths if path.suffix == ".md").read_text()
    assert f"split of data {other}" in markdown
    assert f"by models trained on data {own}" in markdown


@pytest.mark.slow
def test_every_model_and_the_file_of_another_is_scored_and_emitted(
    lines: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    plan = plan_on(
        lines[1],
        models=("adapert",),
        split="validation",
        refit="train+validation",
        n_seeds=1,
    )
    files = tmp_path / "predicted.h5ad", tmp_path / "real.h5ad"
    small = config.with_changes({"training.max_epochs": 1, "model.hidden_size": 8})
    found = evaluate_configs({"": small}, plan, tmp_path, emit=files)
    assert set(found.frame["variant"]) == {"adapert", SCORED_MEAN, "split_half"}
    assert {"overlap_at_50", "pearson_delta_pooled"} <= set(found.frame["metric"])
    references = set(zip(found.paired["variant"], found.paired["reference"], strict=True))
    assert references == {("adapert", SCORED_MEAN)}
    asked = {"theirs": files[0]}
    again = evaluate_configs({"": small}, plan_on(lines[1], split="validation"), tmp_path, predictions=asked)
    scores = {
        frame: part.frame.query(f"variant == '{frame}' and metric == 'overlap_at_50'")["value"].to_numpy()
        for frame, part in (("adapert", found), ("file:theirs", again))
    }
    np.testing.assert_array_equal(scores["file:theirs"], scores["adapert"])
    assert read_accesses(tmp_path) == []


def test_predicted_deltas_of_the_shared_genes_score_as_a_plain_loop_says(
    lines: tuple[Path, Path], config: Config, tmp_path: Path
) -> None:
    found = evaluate_configs({"": config}, plan_on(lines[1], split="validation"), tmp_path)
    kept = read_predictions(found.folder)
    assert kept.var_names.isin(read_prepared(lines[0]).gene_names).all()
    frame = found.frame.query(f"variant == '{SCORED_MEAN}' and metric == 'pearson_delta'")
    np.testing.assert_allclose(
        frame["value"], pearson_delta(kept.layers[SCORED_MEAN], np.asarray(kept.X)), atol=1e-5
    )
