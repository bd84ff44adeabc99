"""Full evaluation at the size of Replogle K562's test split, and cell-eval's full profile for comparison.

    python -m benchmarks evaluation

272 perturbations x 5,000 genes, 140 cells a perturbation, 10,000 controls, three values in ten not zero;
made in memory. cell-eval's part takes more than nine minutes of a core; it is left out where the extra
``parity`` is not installed.
"""

import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse

from adapert.data.array_tables import CellTable, PerturbationTable, SharedTable
from adapert.data.differential import sum_cells
from adapert.data.manifest import Manifest
from adapert.data.prepared import PreparedDataset, PreparedSplit
from adapert.data.schema import FloatArray
from adapert.evaluation.cell_moments import cells_by_perturbation, measure_moments
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.emission import EMISSIONS
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.reproducibility import reproducibility
from adapert.seeding import numpy_generator
from benchmarks.measurement import Measurement, seconds_of

N_PERTURBATIONS, N_GENES, N_CELLS, N_CONTROLS = 272, 5_000, 140, 10_000
SIZE = f"{N_PERTURBATIONS} x {N_GENES:,} genes, {N_CELLS} cells each, {N_CONTROLS:,} controls"
LIBRARY_SIZE = 4_000
GENES = np.array([f"G{number:04d}" for number in range(N_GENES)])


def simulate_in_memory() -> PreparedDataset:
    """Make a data set of one split; one in fifty genes responds to each perturbation."""
    generator = numpy_generator(0, "evaluation benchmark")
    baseline = generator.gamma(0.35, 2.0, N_GENES)
    responds = generator.random((N_PERTURBATIONS, N_GENES)) < 0.02
    log_change = np.where(responds, generator.normal(0, 1.0, responds.shape), 0.0)
    controls = _sample_cells([baseline], N_CONTROLS, generator)
    part = PreparedSplit(
        table=_empty_table(), cells=_sample_cells(baseline * np.exp(log_change), N_CELLS, generator)
    )
    dataset = PreparedDataset(
        manifest=Manifest(kind="cells", fingerprint="in memory", split_seed=0),
        shared=_shared(sum_cells(controls.expression(N_GENES)).mean.astype(np.float32)),
        control_cells=controls,
        splits={"test": part},
    )
    moments = measure_moments(cells_by_perturbation(dataset, "test"))
    tested = ControlTests(dataset, part.table).differential_expression(cells_by_perturbation(dataset, "test"))
    delta = (moments.means - dataset.shared.control_mean).astype(np.float32)
    table = replace(part.table, delta=delta, deg_mask=tested.deg_mask)
    return replace(dataset, splits={"test": replace(part, table=table)})


def measure(scratch: Path) -> Iterator[Measurement]:
    """Time the evaluation of noisy predictions, then cell-eval's of the same cells."""
    dataset = simulate_in_memory()
    observed = dataset.splits["test"].table.delta
    noise = numpy_generator(0, "noise").normal(0, 0.02, observed.shape)
    predicted = (0.6 * observed + noise).astype(np.float32)
    for emission in EMISSIONS:
        started = time.perf_counter()
        stream = numpy_generator(0, "emission")
        evaluation = evaluate(predicted, dataset, "test", emission=emission, generator=stream)
        seconds = time.perf_counter() - started
        n_metrics = len(evaluation.per_perturbation) + len(evaluation.scalars)
        note = f"{SIZE}; {n_metrics} metrics; {evaluation.clip_fraction:.0%} of values clipped"
        yield Measurement(name=f"evaluation_{emission}", value=seconds, unit="s", target=60, note=note)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    yield Measurement(name="evaluation_peak_memory", value=peak, unit="GB", note="with the data")
    halves = partial(reproducibility, dataset, "test", n_repeats=1, generator=numpy_generator(0, "halves"))
    seconds = seconds_of(halves)
    yield Measurement(name="reproducibility", value=seconds, unit="s", note="split halves, one repeat")
    if importlib.util.find_spec("cell_eval"):
        yield from _measure_cell_eval(predicted, dataset)


def _measure_cell_eval(predicted: FloatArray, dataset: PreparedDataset) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as directory:
        predicted_file, real_file = Path(directory) / "pred.h5ad", Path(directory) / "real.h5ad"
        stream = numpy_generator(0, "emission")
        emit = partial(write_emitted_pair, predicted, dataset, "test", generator=stream)
        seconds = seconds_of(partial(emit, predicted_file=predicted_file, real_file=real_file))
        gigabytes = sum(file.stat().st_size for file in (predicted_file, real_file)) / 1e9
        yield Measurement(name="emit_pair", value=seconds, unit="s", note=f"{gigabytes:.1f} GB of files")
        command = [str(Path(sys.executable).with_name("cell-eval")), "run", "--num-threads", "2"]
        paths = ["-ap", predicted_file, "-ar", real_file, "-o", Path(directory) / "out"]
        run = partial(subprocess.run, [*command, *map(str, paths)], check=True, capture_output=True)
        seconds = seconds_of(run)
        yield Measurement(name="cell_eval_full", value=seconds, unit="s", note="cell-eval 0.8.2, same cells")


def _sample_cells(rates: Iterable[FloatArray], n_cells: int, generator: np.random.Generator) -> CellTable:
    blocks = []
    for rate in rates:
        counts = generator.poisson(rate, (n_cells, len(rate)))
        expression = np.log1p(LIBRARY_SIZE * counts / counts.sum(axis=1, keepdims=True))
        blocks.append(scipy.sparse.csr_array(expression.astype(np.float32)))
    cells = scipy.sparse.vstack(blocks, format="csr")
    return CellTable(
        values=cells.data,
        gene_index=cells.indices,
        row_start=cells.indptr,
        perturbation_index=np.repeat(np.arange(len(blocks)), n_cells),
        batch_index=np.zeros(cells.shape[0], dtype=np.int32),
    )


def _empty_table() -> PerturbationTable:
    nothing = np.zeros((N_PERTURBATIONS, N_GENES), dtype=np.float32)
    return PerturbationTable(
        perturbations=GENES[:N_PERTURBATIONS],
        delta=nothing,
        deg_mask=nothing > 0,
        n_cells=np.full(N_PERTURBATIONS, N_CELLS),
        family=GENES[:N_PERTURBATIONS],
        effect_size=np.full(N_PERTURBATIONS, "small"),
        group_perturbation_index=np.arange(N_PERTURBATIONS),
        group_batch_index=np.zeros(N_PERTURBATIONS, dtype=np.int32),
        group_mean=nothing,
        group_n_cells=np.full(N_PERTURBATIONS, N_CELLS),
    )


def _shared(control_mean: FloatArray) -> SharedTable:
    no_edges = np.zeros(0, dtype=np.int32)
    return SharedTable(
        node_names=GENES,
        n_genes=np.array(N_GENES),
        control_mean=control_mean,
        batches=np.array(["all"]),
        batch_control_mean=control_mean[None],
        edge_source=no_edges,
        edge_target=no_edges,
        edge_score=np.zeros(0, dtype=np.float32),
        edge_rank=no_edges,
        text_embedding=np.zeros((N_GENES, 1), dtype=np.float32),
        has_text=np.zeros(N_GENES, dtype=bool),
        is_perturbed=np.ones(N_GENES, dtype=bool),
    )
