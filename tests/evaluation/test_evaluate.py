from dataclasses import replace

import numpy as np
import pytest
from fixtures.narrowed import present
from scipy.stats import false_discovery_control, mannwhitneyu, pearsonr, ttest_ind

from adapert.data.array_tables import PerturbationTable
from adapert.data.choices import PrepareChoices
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.catalogue import METRICS, cheap_metrics
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.emission import EMISSIONS, EmissionName
from adapert.evaluation.evaluate import evaluate


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def table(tiny_dataset: PreparedDataset) -> PerturbationTable:
    return tiny_dataset.splits["validation"].table


@pytest.fixture
def predicted(table: PerturbationTable) -> np.ndarray:
    return (0.5 * table.delta + 0.1 * np.random.default_rng(1).normal(size=table.delta.shape)).astype(
        np.float32
    )


@pytest.fixture
def responses(tiny_dataset: PreparedDataset) -> PreparedDataset:
    """The tiny data set as if its deltas had been given without cells."""
    return replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))


@pytest.mark.parametrize("emission", EMISSIONS)
def test_every_metric_has_a_value_a_perturbation(
    tiny_dataset: PreparedDataset, table: PerturbationTable, predicted: np.ndarray, emission: EmissionName
) -> None:
    evaluation = evaluate(predicted, tiny_dataset, "validation", emission=emission, generator=generator())
    for name, values in evaluation.per_perturbation.items():
        assert values.shape == (len(table.perturbations),), name
    assert list(evaluation.per_perturbation) == [name for name in METRICS if not METRICS[name].is_scalar]
    assert set(evaluation.scalars) == {"spearman_n_degs"}
    assert evaluation.emission == emission
    assert 0 <= present(evaluation.clip_fraction) <= 1
    assert evaluation.versions.keys() == {"adapert", "numpy", "scipy", "cell-eval definitions"}


def test_cheap_metrics_are_among_them(
    tiny_dataset: PreparedDataset, table: PerturbationTable, predicted: np.ndarray
) -> None:
    evaluation = evaluate(predicted, tiny_dataset, "validation", generator=generator())
    for name, values in cheap_metrics(predicted, table.delta, table.deg_mask).items():
        np.testing.assert_allclose(evaluation.per_perturbation[name], values, rtol=1e-5)


def test_every_metric_of_delta_is_computed_in_double_precision(
    tiny_dataset: PreparedDataset, table: PerturbationTable, predicted: np.ndarray
) -> None:
    evaluation = evaluate(predicted, tiny_dataset, "validation", generator=generator())
    error = predicted.astype(np.float64) - table.delta.astype(np.float64)
    distance = evaluation.per_perturbation["l2_top_1000"]
    np.testing.assert_allclose(distance, np.linalg.norm(error, axis=1), rtol=1e-13)
    for name, values in evaluation.per_perturbation.items():
        assert values.dtype == np.float64, name


def test_same_generator_gives_the_same_numbers(tiny_dataset: PreparedDataset, predicted: np.ndarray) -> None:
    one, other = (evaluate(predicted, tiny_dataset, "validation", generator=generator()) for _ in range(2))
    for name, values in one.per_perturbation.items():
        np.testing.assert_array_equal(values, other.per_perturbation[name])
    assert one.scalars == other.scalars


def test_order_of_genes_matters_to_no_metric_of_delta(
    responses: PreparedDataset, predicted: np.ndarray
) -> None:
    order = np.random.default_rng(2).permutation(responses.n_genes)
    part = responses.splits["validation"]
    shuffled_table = replace(
        part.table, delta=part.table.delta[:, order], deg_mask=part.table.deg_mask[:, order]
    )
    names = np.concatenate([responses.gene_names[order], responses.shared.node_names[responses.n_genes :]])
    shuffled = replace(
        responses,
        shared=replace(responses.shared, node_names=names),
        splits={"validation": replace(part, table=shuffled_table)},
    )
    one = evaluate(predicted, responses, "validation", generator=generator())
    other = evaluate(predicted[:, order], shuffled, "validation", generator=generator())
    for name, values in one.per_perturbation.items():
        np.testing.assert_allclose(other.per_perturbation[name], values, err_msg=name)


def test_responses_have_no_metric_that_needs_cells(responses: PreparedDataset, predicted: np.ndarray) -> None:
    evaluation = evaluate(predicted, responses, "validation", generator=generator())
    expected = {name for name, metric in METRICS.items() if metric.needs == "deltas"}
    assert evaluation.per_perturbation.keys() == expected
    assert evaluation.scalars == {}
    assert evaluation.emission is None
    assert evaluation.clip_fraction is None


def test_pooled_deltas_are_against_the_mean_of_all_controls(
    tiny_dataset: PreparedDataset, table: PerturbationTable, predicted: np.ndarray
) -> None:
    n_genes, cells = tiny_dataset.n_genes, tiny_dataset.splits["validation"].cells
    controls = tiny_dataset.control_cells.expression(n_genes).toarray()
    found = evaluate(predicted, tiny_dataset, "validation", generator=generator()).per_perturbation
    for row, own in enumerate(cells_by_perturbation(tiny_dataset, "validation")):
        matched = [
            controls[tiny_dataset.control_cells.batch_index == batch].mean(axis=0)
            for batch in cells.batch_index[cells.perturbation_index == row]
        ]
        observed = own.toarray().mean(axis=0) - controls.mean(axis=0)
        expected = np.mean(matched, axis=0) + predicted[row] - controls.mean(axis=0)
        r = pearsonr(expected, observed).statistic
        assert found["pearson_delta_pooled"][row] == pytest.approx(r, abs=1e-5)
        assert found["pearson_delta"][row] == pytest.approx(
            pearsonr(predicted[row], table.delta[row])[0], abs=1e-5
        )


def test_cells_are_tested_as_scipy_tests_them(
    tiny_dataset: PreparedDataset, table: PerturbationTable
) -> None:
    controls = tiny_dataset.control_cells.expression(tiny_dataset.n_genes).toarray()
    cells = [one.toarray() for one in cells_by_perturbation(tiny_dataset, "validation")]
    tested = ControlTests(tiny_dataset, table).differential_expression(cells)
    for row, own in enumerate(cells):
        p_values = mannwhitneyu(own, controls, method="asymptotic").pvalue
        assert (tested.deg_mask[row] == (false_discovery_control(p_values) < 0.05)).all()
        with np.errstate(divide="ignore"):
            change = np.log2(np.expm1(own.mean(axis=0)) / np.expm1(controls.mean(axis=0)))
        np.testing.assert_allclose(tested.log2_fold_change[row], change, rtol=1e-3, atol=1e-5)


def test_cells_are_tested_by_the_data_sets_own_test(
    tiny_dataset: PreparedDataset, table: PerturbationTable
) -> None:
    controls = tiny_dataset.control_cells.expression(tiny_dataset.n_genes).toarray()
    cells = [one.toarray() for one in cells_by_perturbation(tiny_dataset, "validation")]
    choices = PrepareChoices(deg_test="welch", deg_adjust="none")
    welch = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, choices=choices))
    tested = ControlTests(welch, table).differential_expression(cells)
    p_values = [ttest_ind(own, controls, equal_var=False).pvalue for own in cells]
    np.testing.assert_array_equal(tested.deg_mask, np.array(p_values) < 0.05)


def test_degs_are_adjusted_as_the_data_sets_own(tiny_dataset: PreparedDataset) -> None:
    part = tiny_dataset.splits["train"]
    cells = list(cells_by_perturbation(tiny_dataset, "train"))
    unadjusted = replace(
        tiny_dataset, manifest=replace(tiny_dataset.manifest, choices=PrepareChoices(deg_adjust="none"))
    )
    with_fdr, without = (
        ControlTests(dataset, part.table).differential_expression(cells)
        for dataset in (tiny_dataset, unadjusted)
    )
    assert (with_fdr.deg_mask <= without.deg_mask).all()
    assert with_fdr.deg_mask.sum() < without.deg_mask.sum()


def test_predictions_of_another_shape_are_refused(
    tiny_dataset: PreparedDataset, predicted: np.ndarray
) -> None:
    with pytest.raises(InputError, match="must be deltas of 4 perturbations x 12 genes"):
        evaluate(predicted[:3], tiny_dataset, "validation", generator=generator())


def test_predictions_that_are_not_finite_are_refused(
    tiny_dataset: PreparedDataset, predicted: np.ndarray
) -> None:
    predicted[2, 3] = np.nan
    with pytest.raises(InputError, match=r"must be finite, but those of 1 of [0-9]+ are not"):
        evaluate(predicted, tiny_dataset, "validation", generator=generator())
