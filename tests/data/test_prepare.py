from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scipy.stats
from fixtures.dataset import write_prepared
from fixtures.exhaustive import few_fast
from fixtures.experiment import Experiment
from fixtures.preparing import ChangeCells

from adapert.data import cells, differential, row_chunks
from adapert.data.prepare import summarize_prepared
from adapert.data.prepared import PreparedDataset, check_content, read_prepared
from adapert.data.schema import SPLITS, genes_of
from adapert.errors import InputError


@pytest.fixture(scope="module")
def dataset(experiment: Experiment) -> PreparedDataset:
    return experiment.prepare()


def tables(dataset: PreparedDataset) -> dict[str, Any]:
    """Every array of a data set, by name."""
    found = {f"shared.{name}": getattr(dataset.shared, name) for name in dataset.shared.rules()}
    for source, table in (*dataset.shared.networks.items(), *dataset.shared.embeddings.items()):
        found |= {f"{source}.{name}": value for name, value in vars(table).items()}
    found |= {f"controls.{name}": value for name, value in vars(dataset.control_cells).items()}
    for part, split in dataset.splits.items():
        found |= {f"{part}.{name}": value for name, value in vars(split.table).items()}
        found |= {f"{part}.cells.{name}": value for name, value in vars(split.cells).items()}
    return found


def assert_same_tables(one: PreparedDataset, other: PreparedDataset) -> None:
    for name, values in tables(one).items():
        np.testing.assert_array_equal(values, tables(other)[name], err_msg=name)


def test_second_preparation_gives_the_same_fingerprint_and_arrays(
    experiment: Experiment, dataset: PreparedDataset
) -> None:
    again = experiment.prepare()
    assert again.fingerprint == dataset.fingerprint
    assert_same_tables(again, dataset)


def test_naming_what_would_be_guessed_keeps_the_fingerprint(
    experiment: Experiment, dataset: PreparedDataset
) -> None:
    assert experiment.prepare(batch_column="batch").fingerprint == dataset.fingerprint


@pytest.mark.parametrize("choices", [{"split_seed": 1}, {"deg_adjust": "none"}, {"min_cells": 11}])
def test_other_choice_gives_another_fingerprint(
    experiment: Experiment, dataset: PreparedDataset, choices: dict[str, Any]
) -> None:
    assert experiment.prepare(**choices).fingerprint != dataset.fingerprint


def test_other_contents_give_another_fingerprint(
    experiment: Experiment, dataset: PreparedDataset, changed_cells: ChangeCells
) -> None:
    def add_one_count(cells: anndata.AnnData) -> None:
        cells.X[0, 0] += 1

    assert experiment.prepare(cells=changed_cells(add_one_count)).fingerprint != dataset.fingerprint


def test_order_of_cells_and_genes_makes_no_difference(
    experiment: Experiment, dataset: PreparedDataset, changed_cells: ChangeCells
) -> None:
    def shuffle(cells: anndata.AnnData) -> anndata.AnnData:
        generator = np.random.default_rng(0)
        return cells[generator.permutation(cells.n_obs), generator.permutation(cells.n_vars)].copy()

    assert_same_tables(experiment.prepare(cells=changed_cells(shuffle)), dataset)


@pytest.mark.parametrize("form", few_fast(["csr", "csc", "dense"], 1))
def test_what_is_in_memory_at_once_makes_no_difference(
    experiment: Experiment,
    dataset: PreparedDataset,
    changed_cells: ChangeCells,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    form: str,
) -> None:
    def reform(cells: anndata.AnnData) -> None:
        cells.X = cells.X.toarray() if form == "dense" else cells.X.asformat(form)

    path = changed_cells(reform)
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", 2_000)
    monkeypatch.setattr(cells, "TESTED_AT_ONCE", 3_000)
    monkeypatch.setattr(differential, "VALUES_AT_ONCE", 1_000)
    out = tmp_path / "prepared"
    assert_same_tables(experiment.prepare(cells=path, out=out), dataset)
    assert sorted(file.name for file in out.iterdir()) == [
        "checksums.json",
        "control_cells",
        "manifest.json",
        "shared",
        "test",
        "train",
        "validation",
    ]


def test_other_test_calls_other_degs_and_has_another_fingerprint(
    experiment: Experiment, dataset: PreparedDataset
) -> None:
    prepared = experiment.prepare(deg_test="welch")
    assert prepared.fingerprint != dataset.fingerprint
    one, other = prepared.splits["train"].table, dataset.splits["train"].table
    np.testing.assert_array_equal(one.delta, other.delta)
    agreement = np.mean(one.deg_mask == other.deg_mask)
    assert 0.9 < agreement < 1


@pytest.mark.parametrize("test", ["mann_whitney", "welch"])
def test_degs_are_those_of_scipy_on_the_prepared_cells(experiment: Experiment, test: str) -> None:
    prepared = experiment.prepare(deg_test=test)
    train = prepared.splits["train"]
    controls, expression = (
        table.expression(prepared.n_genes).toarray().astype(np.float64)
        for table in (prepared.control_cells, train.cells)
    )
    for number in range(3):
        own = expression[train.cells.perturbation_index == number]
        if test == "welch":
            p_values = scipy.stats.ttest_ind(own, controls, equal_var=False).pvalue
        else:
            p_values = scipy.stats.mannwhitneyu(own, controls, method="asymptotic").pvalue
        degs = scipy.stats.false_discovery_control(p_values) < 0.05
        np.testing.assert_array_equal(train.table.deg_mask[number], degs)


def test_failed_preparation_leaves_nothing_behind(
    experiment: Experiment, tmp_path: Path, changed_cells: ChangeCells
) -> None:
    path = changed_cells(set_first_value(np.nan))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="1 value is NaN"):
        experiment.prepare(cells=path, out=tmp_path / "new" / "prepared")
    assert sorted(tmp_path.rglob("*")) == before


def test_mapped_and_written_data_sets_are_the_same(
    experiment: Experiment, dataset: PreparedDataset, tmp_path: Path
) -> None:
    mapped = experiment.prepare(out=tmp_path / "prepared")
    assert mapped.path == tmp_path / "prepared"
    write_prepared(dataset, tmp_path / "written")
    files = sorted(path.relative_to(mapped.path) for path in mapped.path.rglob("*.npy"))
    assert files == sorted(p.relative_to(tmp_path / "written") for p in (tmp_path / "written").rglob("*.npy"))
    for file in files:
        assert (mapped.path / file).read_bytes() == (tmp_path / "written" / file).read_bytes()


def test_written_data_set_is_read_back(dataset: PreparedDataset, tmp_path: Path) -> None:
    write_prepared(dataset, tmp_path / "prepared")
    assert_same_tables(read_prepared(tmp_path / "prepared", SPLITS), dataset)


def test_delta_is_the_mean_difference_from_controls_of_the_same_batch(dataset: PreparedDataset) -> None:
    table, cells = dataset.splits["train"].table, dataset.splits["train"].cells
    expression = cells.expression(dataset.n_genes).toarray().astype(np.float64)
    control = dataset.control_cells.expression(dataset.n_genes).toarray().astype(np.float64)
    for batch in range(len(dataset.shared.batches)):
        own = control[dataset.control_cells.batch_index == batch].mean(axis=0)
        np.testing.assert_allclose(dataset.shared.batch_control_mean[batch], own, rtol=1e-6, atol=1e-7)
    difference = expression - dataset.shared.batch_control_mean[cells.batch_index]
    for number in range(len(table.perturbations)):
        delta = difference[cells.perturbation_index == number].mean(axis=0)
        np.testing.assert_allclose(table.delta[number], delta, rtol=1e-6, atol=1e-7)


def test_group_means_and_counts_add_up_to_the_cells(dataset: PreparedDataset) -> None:
    for split in dataset.splits.values():
        table = split.table
        per_perturbation = np.bincount(table.group_perturbation_index, weights=table.group_n_cells)
        assert per_perturbation.tolist() == table.n_cells.tolist()
        assert np.bincount(split.cells.perturbation_index).tolist() == table.n_cells.tolist()


def test_expression_of_test_cells_chooses_no_gene(experiment: Experiment, changed_cells: ChangeCells) -> None:
    undisturbed = experiment.prepare(n_genes=40)
    test = undisturbed.splits["test"].table.perturbations.tolist()

    def disturb(cells: anndata.AnnData) -> None:
        rows = cells.obs["perturbation"].isin(test).to_numpy()
        disturbed = cells.X.tolil()
        disturbed[np.flatnonzero(rows), :60] = 50
        cells.X = disturbed.tocsr()

    disturbed = experiment.prepare(n_genes=40, cells=changed_cells(disturb))
    assert disturbed.gene_names.tolist() == undisturbed.gene_names.tolist()


def test_perturbed_gene_that_was_not_measured_is_a_node(
    experiment: Experiment, dataset: PreparedDataset, changed_cells: ChangeCells
) -> None:
    def drop_target(cells: anndata.AnnData) -> anndata.AnnData:
        return cells[:, cells.var_names != target].copy()

    target = str(dataset.splits["train"].table.perturbations[0]).split("+")[0]
    prepared = experiment.prepare(cells=changed_cells(drop_target))
    assert target not in prepared.gene_names
    assert prepared.shared.node_names[prepared.n_genes :].tolist() == [target]


def test_rare_perturbation_is_left_out_and_noted(
    experiment: Experiment,
    dataset: PreparedDataset,
    changed_cells: ChangeCells,
    logged: pytest.LogCaptureFixture,
) -> None:
    rare = str(dataset.splits["train"].table.perturbations[0])

    def make_rare(cells: anndata.AnnData) -> anndata.AnnData:
        rows = np.flatnonzero(cells.obs["perturbation"] == rare)
        return cells[np.setdiff1d(np.arange(cells.n_obs), rows[5:])].copy()

    prepared = experiment.prepare(cells=changed_cells(make_rare))
    assert prepared.manifest.counts["perturbations"] == 29
    assert f"perturbations with fewer than 10 cells, left out: 1 ('{rare}')" in logged.messages


def test_cells_without_a_label_are_left_out_and_noted(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def unlabel(cells: anndata.AnnData) -> None:
        labels = cells.obs["perturbation"].astype(object)
        labels.iloc[-7:] = np.nan
        cells.obs["perturbation"] = labels

    prepared = experiment.prepare(cells=changed_cells(unlabel))
    assert prepared.manifest.counts["control_cells"] == 113
    assert "left out: 7 cells without a label" in logged.messages


def test_guesses_are_noted_and_kept_in_the_manifest(
    experiment: Experiment, logged: pytest.LogCaptureFixture
) -> None:
    prepared = experiment.prepare()
    assert "--perturbation-column perturbation (guessed)" in logged.messages
    assert prepared.manifest.guessed == {"perturbation_column": "perturbation", "batch_column": "batch"}


def test_counts_layer_is_found(
    experiment: Experiment, dataset: PreparedDataset, changed_cells: ChangeCells
) -> None:
    def log(cells: anndata.AnnData) -> None:
        cells.layers["counts"] = cells.X.copy()
        cells.X = np.log1p(cells.X)

    prepared = experiment.prepare(cells=changed_cells(log))
    assert prepared.manifest.guessed["counts_layer"] == "counts"
    np.testing.assert_array_equal(prepared.shared.control_mean, dataset.shared.control_mean)


def test_log_values_are_taken_as_they_are(experiment: Experiment, changed_cells: ChangeCells) -> None:
    def log(cells: anndata.AnnData) -> None:
        cells.X = np.log1p(cells.X)

    path = changed_cells(log)
    control = anndata.read_h5ad(path)
    expected = np.asarray(control.X[(control.obs["perturbation"] == "control").to_numpy()].mean(axis=0))[0]
    prepared = experiment.prepare(cells=path)
    order = [control.var_names.get_loc(name) for name in prepared.gene_names]
    np.testing.assert_allclose(prepared.shared.control_mean, expected[order], rtol=1e-4)


def unlogged(dataset: PreparedDataset) -> np.ndarray:
    """Scaled counts of the control cells, (n_controls, n_genes)."""
    return np.asarray(np.expm1(dataset.control_cells.expression(dataset.n_genes).toarray()))


@pytest.fixture
def panel(changed_cells: ChangeCells) -> Path:
    """Few genes, of which a cell has a hundred or two counts."""

    def cut(cells: anndata.AnnData) -> anndata.AnnData:
        cells.X = np.random.default_rng(0).binomial(cells.X.toarray().astype(int), 0.05).astype(np.float32)
        return cells

    return changed_cells(cut)


def test_counts_of_a_panel_are_scaled_up_with_a_warning(
    experiment: Experiment, panel: Path, logged: pytest.LogCaptureFixture
) -> None:
    cells = anndata.read_h5ad(panel)
    controls = cells[(cells.obs["perturbation"] == "control").to_numpy()]
    dataset = experiment.prepare(cells=panel)
    np.testing.assert_allclose(unlogged(dataset).sum(axis=1), 4_000, rtol=1e-4)
    median = dataset.manifest.counts["median_counts"]
    assert abs(median - np.median(cells.X.sum(axis=1))) < 5
    assert np.median(controls.X.sum(axis=1)) < 250
    assert f"counts are scaled to 4,000 per cell; their median is {median}" in logged.messages
    assert any("scaled up" in line and "--target-sum median keeps" in line for line in logged.messages)
    summary = dict(summarize_prepared(dataset))
    assert summary["normalisation"] == f"log1p of counts scaled to 4,000 (median {median} per cell)"


def test_counts_are_scaled_to_their_median_or_not_at_all(
    experiment: Experiment, panel: Path, logged: pytest.LogCaptureFixture
) -> None:
    to_median = experiment.prepare(cells=panel, target_sum="median")
    median = to_median.manifest.counts["median_counts"]
    np.testing.assert_allclose(unlogged(to_median).sum(axis=1), median, atol=1)
    assert not any("scaled up" in line for line in logged.messages)
    assert dict(summarize_prepared(to_median))["normalisation"] == (
        f"log1p of counts scaled to their median {median} per cell"
    )
    as_they_are = experiment.prepare(cells=panel, target_sum="none")
    cells = anndata.read_h5ad(panel)
    controls = cells[(cells.obs["perturbation"] == "control").to_numpy()]
    expected = np.sort(np.asarray(controls[:, as_they_are.gene_names].X), axis=0)
    np.testing.assert_allclose(np.sort(unlogged(as_they_are), axis=0), expected, atol=1e-3)
    assert (
        len({to_median.fingerprint, as_they_are.fingerprint, experiment.prepare(cells=panel).fingerprint})
        == 3
    )


def test_log_values_are_not_scaled(experiment: Experiment, changed_cells: ChangeCells) -> None:
    def log(cells: anndata.AnnData) -> None:
        cells.X = np.log1p(cells.X)

    path = changed_cells(log)
    assert dict(summarize_prepared(experiment.prepare(cells=path)))["normalisation"] == (
        "none: log values, taken as they are"
    )
    with pytest.raises(InputError, match="--target-sum scales raw counts, but X holds log values"):
        experiment.prepare(cells=path, target_sum="median")


@pytest.mark.parametrize("name", ["bio_rep", "Replicate"])
def test_replicates_are_guessed_as_batches(
    experiment: Experiment, changed_cells: ChangeCells, name: str, logged: pytest.LogCaptureFixture
) -> None:
    def rename(cells: anndata.AnnData) -> None:
        cells.obs = cells.obs.rename(columns={"batch": name})

    dataset = experiment.prepare(cells=changed_cells(rename))
    assert dataset.manifest.choices.batch_column == name
    assert len(dataset.shared.batches) == 3
    assert f"--batch-column {name} (guessed)" in logged.messages


def test_data_without_a_batch_column_are_told(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def rename(cells: anndata.AnnData) -> None:
        cells.obs = cells.obs.rename(columns={"batch": "well"})

    dataset = experiment.prepare(cells=changed_cells(rename))
    (line,) = [line for line in logged.messages if line.startswith("no column of sequencing batches")]
    assert "name one with --batch-column ('perturbation', 'well')" in line
    assert dict(summarize_prepared(dataset))["matching groups"] == "1 ('all'; no batch column)"


def test_several_cell_lines_are_matched_and_noted(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def add_lines(cells: anndata.AnnData) -> None:
        cells.obs["cell_type"] = np.where(np.arange(cells.n_obs) % 2, "k562", "rpe1")

    path = changed_cells(add_lines)
    prepared = experiment.prepare(cells=path)
    assert prepared.shared.batches[0] == "k562 / batch1"
    assert len(prepared.shared.batches) == 6
    assert any("--where cell_type=k562" in line for line in logged.messages)
    one = experiment.prepare(cells=path, where=("cell_type=k562",))
    assert len(one.shared.batches) == 3


def test_saved_split_is_kept(experiment: Experiment, tmp_path: Path) -> None:
    split = experiment.prepare(split_seed=5).splits
    path = tmp_path / "split.csv"
    path.write_text(
        "".join(f"{name},{part}\n" for part, s in split.items() for name in s.table.perturbations.tolist())
    )
    again = experiment.prepare(split_file=path).splits
    for part in SPLITS:
        assert again[part].table.perturbations.tolist() == split[part].table.perturbations.tolist()


def test_the_manifest_counts_the_genes_of_embeddings(
    experiment: Experiment, dataset: PreparedDataset
) -> None:
    with np.load(experiment.embeddings) as file:
        assert dataset.manifest.counts["embedded:text"] == len(file["symbols"])


def test_summary_names_what_the_data_hold(dataset: PreparedDataset) -> None:
    rows = dict(summarize_prepared(dataset, top_k=5))
    assert rows["cells"] == "870, of which 120 controls"
    assert rows["perturbations"] == "30, of which 3 combinations"
    assert rows["splits"] == "train 20, validation 2, test 8"
    assert rows["covered by text"] == "120 of 120 (100.0%) of genes, 30 of 30 (100.0%) of perturbations"
    assert "train" in rows["large effects"]
    assert int(rows["graph edges at top-5"].split(" ")[0]) <= 5 * 120


def relabel(**columns: Any) -> Callable[[anndata.AnnData], None]:
    def change(cells: anndata.AnnData) -> None:
        for column, value in columns.items():
            cells.obs[column] = value

    return change


def set_first_value(value: float) -> Callable[[anndata.AnnData], None]:
    def change(cells: anndata.AnnData) -> None:
        dense = np.log1p(cells.X.toarray())
        dense[0, 1] = value
        cells.X = dense

    return change


def rename_control(cells: anndata.AnnData) -> None:
    cells.obs["perturbation"] = cells.obs["perturbation"].astype(str).replace("control", "safe")


def name_genes_by_number(cells: anndata.AnnData) -> None:
    cells.var_names = [f"ENSG{number:011d}" for number in range(cells.n_vars)]


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        (rename_control, {}, "there are no control cells: .* Name it with --control"),
        (rename_control, {"control": "saef"}, r"'saef' is not\. Did you mean 'safe'\?"),
        (relabel(), {"perturbation_column": "pertubation"}, r"Did you mean 'perturbation'\? The columns are"),
        (relabel(), {"batch_column": "lane"}, "--batch-column must name a column, but there is no 'lane'"),
        (relabel(), {"where": ("batch=nine",)}, "'batch' never is 'nine'"),
        (relabel(perturbation="KLF1"), {}, "'perturbation' has only 'KLF1'"),
        (relabel(perturbation=np.nan), {}, "'perturbation' has only missing values"),
        (set_first_value(np.nan), {}, "1 value is NaN, the first in gene 'GENE0002'"),
        (set_first_value(np.inf), {}, "1 value is infinite, the first in gene 'GENE0002'"),
        (set_first_value(-1), {}, "1 value is below 0, the first in gene 'GENE0002'"),
        (set_first_value(99.5), {}, "normalised, not logged"),
        (name_genes_by_number, {}, "genes without symbols: 'ENSG00000000000'"),
        (relabel(), {"counts_layer": "raw"}, "has no 'raw'.* Its layers are none"),
        (relabel(), {"gene_column": "name"}, "--gene-column must name a column, but there is no 'name'"),
        (relabel(), {"min_cells": 1000}, "at least 1,000 cells, but none of 30 has: the largest has 25"),
    ],
)
def test_bad_cells_are_refused(
    experiment: Experiment,
    changed_cells: ChangeCells,
    change: Callable[[anndata.AnnData], None],
    choices: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        experiment.prepare(cells=changed_cells(change), **choices)


def test_named_control_is_found(
    experiment: Experiment, dataset: PreparedDataset, changed_cells: ChangeCells
) -> None:
    assert_same_tables(experiment.prepare(cells=changed_cells(rename_control), control="safe"), dataset)


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("cells", "The cells must be a file"),
        ("network", "The network must be a file"),
        ("embeddings", "The embeddings must be a file"),
        ("aliases", "The alias table must be a file"),
        ("split_file", "The split list must be a file"),
    ],
)
def test_missing_input_is_named(experiment: Experiment, tmp_path: Path, role: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        experiment.prepare(**{role: tmp_path / "none"})


def test_text_of_other_genes_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", symbols=np.array(["X"]), embedding=np.ones((1, 4)))
    with pytest.raises(InputError, match="must cover genes of the data"):
        experiment.prepare(embeddings=tmp_path / "other.npz")


def test_network_of_other_genes_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text("X\tY\t900\n")
    with pytest.raises(InputError, match="must connect genes of the data"):
        experiment.prepare(network=tmp_path / "other.tsv")


@pytest.mark.parametrize("choices", [{"n_genes": 0}, {"min_cells": 0}, {"min_batch_controls": -1}])
def test_numbers_below_one_are_refused(experiment: Experiment, choices: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        experiment.prepare(**choices)


def test_combinations_alone_are_held_out_by_their_scheme(experiment: Experiment, tmp_path: Path) -> None:
    dataset = experiment.prepare(split_scheme="combinations", out=tmp_path / "prepared")
    held_out = [dataset.splits[name].table.perturbations.tolist() for name in ("validation", "test")]
    assert [len(names) for names in held_out] == [1, 2]
    assert all("+" in name for names in held_out for name in names)
    choices = read_prepared(tmp_path / "prepared").manifest.choices
    assert (choices.split_scheme, choices.split_fractions) == ("combinations", (0.25, 0.25, 0.5))
    rows = dict(summarize_prepared(dataset))
    assert rows["splits"] == "train 27, validation 1, test 2; single genes train"
    assert rows["test combinations"] == "2; genes unseen alone in training: 0 in 2, 1 in 0, 2 in 0"


def test_test_combinations_are_told_by_their_genes_unseen_alone(experiment: Experiment) -> None:
    dataset = experiment.prepare(split_fractions=(0.2, 0.1, 0.7))
    train, test = (dataset.splits[name].table.perturbations.tolist() for name in ("train", "test"))
    counts = [0, 0, 0]
    for name in test:
        if "+" in name:
            counts[sum(gene not in train for gene in name.split("+"))] += 1
    assert sum(counts) > 0
    found = dict(summarize_prepared(dataset))["test combinations"]
    assert found == f"{sum(counts)}; genes unseen alone in training: " + ", ".join(
        f"{number} in {count}" for number, count in enumerate(counts)
    )


def test_a_small_validation_split_is_noted(experiment: Experiment, logged: pytest.LogCaptureFixture) -> None:
    experiment.prepare(split_fractions=(0.675, 0.075, 0.25))
    small = logged.messages
    logged.clear()
    experiment.prepare(split_fractions=(0.2, 0.6, 0.2))
    assert any(
        "validation perturbations: the choice among configs is mostly chance" in note for note in small
    )
    assert not any("mostly chance" in note for note in logged.messages)


def test_counts_layer_stands_in_for_an_x_of_nothing(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def move(cells: anndata.AnnData) -> None:
        cells.layers["counts"], cells.X = cells.X.copy(), None

    dataset = experiment.prepare(cells=changed_cells(move))
    assert "X holds nothing: layer 'counts' is read" in logged.messages
    np.testing.assert_array_equal(dataset.shared.control_mean, experiment.prepare().shared.control_mean)


def test_x_of_nothing_without_counts_is_answered_with_the_layers(
    experiment: Experiment, changed_cells: ChangeCells
) -> None:
    def move(cells: anndata.AnnData) -> None:
        cells.layers["umis"], cells.X = cells.X.copy(), None

    path = changed_cells(move)
    with pytest.raises(InputError, match=r"where --counts-layer names no other.*Its layers are 'umis'"):
        experiment.prepare(cells=path)
    assert experiment.prepare(cells=path, counts_layer="umis").manifest.counts["cells"]


def scale(cells: anndata.AnnData) -> anndata.AnnData:
    """Make X what scanpy's `scale` leaves, with the counts of all genes in `.raw`."""
    cells.raw = cells
    scaled = cells[:, :80].copy()
    scaled.X = scaled.X.toarray() - 1.0
    return scaled


def test_scaled_values_are_refused_with_the_raw_counts_that_help(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    path = changed_cells(scale)
    with pytest.raises(InputError, match=r"or read another layer with --counts-layer \('raw\.X'\)"):
        experiment.prepare(cells=path)
    dataset = experiment.prepare(cells=path, counts_layer="raw.X")
    assert "raw.X holds counts: normalised and logged" in logged.messages
    np.testing.assert_array_equal(dataset.shared.control_mean, experiment.prepare().shared.control_mean)


def test_raw_log_values_are_taken(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def log(cells: anndata.AnnData) -> anndata.AnnData:
        cells.X = cells.X.log1p()
        return scale(cells)

    experiment.prepare(cells=changed_cells(log), counts_layer="raw.X")
    assert "raw.X holds log values: taken as they are" in logged.messages


def test_raw_is_read_where_x_holds_nothing(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def move(cells: anndata.AnnData) -> None:
        cells.raw = cells
        cells.X = None

    experiment.prepare(cells=changed_cells(move))
    assert "X holds nothing: raw.X is read" in logged.messages


def test_raw_that_is_not_read_is_mentioned(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def keep(cells: anndata.AnnData) -> None:
        cells.raw = cells

    experiment.prepare(cells=changed_cells(keep))
    assert "raw.X is there too, of 120 genes: --counts-layer raw.X reads it" in logged.messages


def test_repeated_names_of_cells_and_genes_do_no_harm(
    experiment: Experiment, changed_cells: ChangeCells, logged: pytest.LogCaptureFixture
) -> None:
    def repeat(cells: anndata.AnnData) -> None:
        cells.obs_names = ["cell"] * cells.n_obs
        cells.var_names = [*cells.var_names[:-1], cells.var_names[0]]

    dataset = experiment.prepare(cells=changed_cells(repeat))
    assert "1 gene without a symbol or with a repeated one, left out" in logged.messages
    assert dataset.n_genes == 119


def test_notes_advise_no_choice_that_was_made(
    experiment: Experiment, logged: pytest.LogCaptureFixture
) -> None:
    experiment.prepare(effect_size_groups="tertiles", split_fractions=(0.5, 0.2, 0.3))
    assert not any("--effect-size-groups" in note or "--split-fractions" in note for note in logged.messages)
    assert any("only 6 validation perturbations" in note for note in logged.messages)


@pytest.fixture
def gene_sets(experiment: Experiment, tmp_path: Path, dataset: PreparedDataset) -> Path:
    """Forty sets of five of the data's genes each."""
    generator = np.random.default_rng(0)
    lines = [
        "\t".join([f"SET{number}", "x", *generator.choice(dataset.shared.node_names, 5, replace=False)])
        for number in range(40)
    ]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    return tmp_path / "sets.gmt"


def test_other_networks_lie_beside_the_first_which_stays_where_it_was(
    experiment: Experiment, dataset: PreparedDataset, gene_sets: Path, tmp_path: Path
) -> None:
    networks = {"string": experiment.network, "go": gene_sets, "screen": experiment.embeddings}
    several = experiment.prepare(network=networks, out=tmp_path / "out")
    assert several.shared.network_names.tolist() == ["string", "go", "screen"]
    for name in ("edge_source", "edge_target", "edge_score", "edge_rank"):
        np.testing.assert_array_equal(getattr(several.shared, name), getattr(dataset.shared, name))
    folders = sorted(path.name for path in (tmp_path / "out" / "shared" / "networks").iterdir())
    assert folders == ["go", "screen"]
    for name, file in (("go", gene_sets), ("screen", experiment.embeddings)):
        alone = experiment.prepare(network=file).shared
        other = several.shared.networks[name]
        np.testing.assert_array_equal(other.edge_source, alone.edge_source)
        np.testing.assert_array_equal(other.edge_score, alone.edge_score)


def test_several_networks_are_written_and_read_back(
    experiment: Experiment, gene_sets: Path, tmp_path: Path
) -> None:
    networks = {"string": experiment.network, "go": gene_sets}
    mapped = experiment.prepare(network=networks, out=tmp_path / "out")
    assert_same_tables(read_prepared(tmp_path / "out", SPLITS, is_mapped=False), mapped)
    assert check_content(tmp_path / "out")
    np.save(tmp_path / "out" / "shared" / "networks" / "go" / "edge_source.npy", np.array([500]))
    with pytest.raises(InputError, match=r"edge_source\.npy' holds 500|does not fit the other arrays"):
        read_prepared(tmp_path / "out")


@pytest.mark.slow
def test_names_order_and_contents_of_networks_are_part_of_the_fingerprint(
    experiment: Experiment, dataset: PreparedDataset, gene_sets: Path
) -> None:
    string, go = experiment.network, gene_sets
    given: list[dict[str, Path]] = [
        {"string": string},
        {"string": string, "go": go},
        {"go": go, "string": string},
        {"string": string, "terms": go},
        {"network": string, "go": go},
    ]
    prints = [experiment.prepare(network=networks).fingerprint for networks in given]
    go.write_text(go.read_text() + "\nMORE\tx\tGENE0001\tGENE0002\n")
    prints.append(experiment.prepare(network=given[1]).fingerprint)
    assert len({dataset.fingerprint, *prints}) == len(prints) + 1
    assert experiment.prepare(network={"network": string}).fingerprint == dataset.fingerprint


def test_summary_and_manifest_count_each_network(experiment: Experiment, gene_sets: Path) -> None:
    prepared = experiment.prepare(network={"string": experiment.network, "go": gene_sets})
    manifest, rows = prepared.manifest, dict(summarize_prepared(prepared, top_k=2))
    assert manifest.networks == ("string", "go")
    assert list(manifest.inputs) == ["cells", "network", "network:go", "embeddings"]
    assert manifest.counts["edges:go"] == len(prepared.shared.networks["go"].edge_source)
    n_edges = int((prepared.shared.networks["go"].edge_rank < 2).sum())
    assert rows["graph edges of go at top-2"].startswith(f"{n_edges} over 120 genes")
    n_genes = len(set(prepared.shared.networks["go"].edge_target.tolist()))
    assert manifest.coverage["genes_in_go"] == n_genes
    assert rows["covered by go"].startswith(f"{n_genes} of 120")
    assert rows["covered by string"]


def test_perturbed_genes_are_those_of_all_splits(dataset: PreparedDataset) -> None:
    perturbed = {
        gene
        for split in dataset.splits.values()
        for name in split.table.perturbations.tolist()
        for gene in genes_of(name)
    }
    assert set(dataset.shared.node_names[dataset.shared.is_perturbed].tolist()) == perturbed


def test_a_manifest_of_other_networks_than_the_arrays_is_refused(
    experiment: Experiment, gene_sets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    experiment.prepare(network={"string": experiment.network, "go": gene_sets}, out=out)
    manifest = out / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"go"', '"gone"'))
    with pytest.raises(InputError, match=r"manifest\.json' names other networks than 'string', 'go'"):
        read_prepared(out)


@pytest.fixture
def other_vectors(dataset: PreparedDataset, tmp_path: Path) -> Path:
    """Vectors of three numbers for the first half of the data's genes."""
    symbols = dataset.shared.node_names[:60]
    np.savez(tmp_path / "other.npz", symbols=symbols, embedding=np.random.default_rng(2).normal(size=(60, 3)))
    return tmp_path / "other.npz"


def test_other_embeddings_lie_beside_the_first_with_their_own_gaps(
    experiment: Experiment, dataset: PreparedDataset, other_vectors: Path, tmp_path: Path
) -> None:
    sources = {"text": experiment.embeddings, "rpe1": other_vectors}
    mapped = experiment.prepare(embeddings=sources, out=tmp_path / "out")
    np.testing.assert_array_equal(mapped.shared.text_embedding, dataset.shared.text_embedding)
    alone = experiment.prepare(embeddings=other_vectors).shared
    other = mapped.shared.embeddings["rpe1"]
    np.testing.assert_array_equal(other.embedding, alone.text_embedding)
    np.testing.assert_array_equal(other.has_embedding, alone.has_text)
    assert other.has_embedding.sum() == 60
    assert_same_tables(read_prepared(tmp_path / "out", SPLITS), mapped)
    assert mapped.manifest.embeddings == ("text", "rpe1")
    assert list(mapped.manifest.inputs)[-2:] == ["embeddings", "embeddings:rpe1"]
    assert dict(summarize_prepared(mapped))["covered by rpe1"].startswith("60 of 120 (50.0%) of genes")


@pytest.mark.slow
def test_names_and_order_of_embeddings_are_part_of_the_fingerprint(
    experiment: Experiment, dataset: PreparedDataset, other_vectors: Path
) -> None:
    text, other = experiment.embeddings, other_vectors
    given = [
        {"genept": text},
        {"text": text, "rpe1": other},
        {"rpe1": other, "text": text},
        {"text": text, "hepg2": other},
    ]
    prints = [experiment.prepare(embeddings=sources).fingerprint for sources in given]
    assert len({dataset.fingerprint, *prints}) == len(prints) + 1
    assert experiment.prepare(embeddings={"text": text}).fingerprint == dataset.fingerprint


def test_a_gene_that_any_source_knows_is_no_gap(
    experiment: Experiment, dataset: PreparedDataset, other_vectors: Path
) -> None:
    both = experiment.prepare(embeddings={"rpe1": other_vectors, "text": experiment.embeddings})
    picked = both.shared.picked_vectors("text+rpe1")
    assert [source.embedding.shape[1] for source in picked] == [dataset.shared.text_embedding.shape[1], 3]
    np.testing.assert_array_equal(both.shared.picked_vectors("")[0].embedding, both.shared.text_embedding)
    assert both.shared.picked_vectors("none") == []


def test_the_responses_themselves_are_no_source(experiment: Experiment, tmp_path: Path) -> None:
    copy = tmp_path / "copy.h5ad"
    copy.write_bytes(experiment.cells.read_bytes())
    for sources in ({"embeddings": {"text": experiment.embeddings, "again": copy}}, {"network": copy}):
        with pytest.raises(InputError, match=r"must not be made of the responses to predict, but '\w+' is"):
            experiment.prepare(**sources)


@pytest.mark.parametrize("name", ["../x", "a/b", ""])
def test_a_stored_name_that_is_no_folder_of_its_own_is_refused(
    experiment: Experiment, gene_sets: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    experiment.prepare(network={"string": experiment.network, "go": gene_sets}, out=out)
    np.save(out / "shared" / "network_names.npy", np.array(["string", name]))
    with pytest.raises(InputError, match=r"network_names\.npy' holds"):
        read_prepared(out)
