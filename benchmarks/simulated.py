"""Data of the size of Replogle K562, made by the simulator once and kept for later runs.

1,088 perturbations (734 in training), 8,500 genes of which `prepare` keeps 5,000 and the perturbed ones,
a network over all of them, 8 batches, counts of which three in ten are not zero.
"""

from pathlib import Path

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.simulate import CELLS_FILE, NETWORK_FILE, TEXT_FILE, simulate

N_CELLS = 160_000
N_PERTURBATIONS = 1_088
N_GENES = 8_500
N_BATCHES = 8
N_PATHWAYS = 20
"""As many as in the simulator's small experiment: small, medium and large effects occur."""

CONTROL_FRACTION = 0.06


def input_files(scratch: Path, n_cells: int = N_CELLS) -> tuple[Path, Path, Path]:
    """Simulate an experiment, unless an earlier run did: cells, network, text embeddings.

    Of the cells 6 % are controls, and what does not divide by perturbations.
    """
    folder = scratch / f"simulated_{n_cells}"
    if not folder.exists():
        cells_per_perturbation = round((1 - CONTROL_FRACTION) * n_cells / N_PERTURBATIONS)
        simulate(
            folder,
            n_perturbations=N_PERTURBATIONS,
            n_genes=N_GENES,
            cells_per_perturbation=cells_per_perturbation,
            n_controls=n_cells - N_PERTURBATIONS * cells_per_perturbation,
            n_batches=N_BATCHES,
            n_pathways=N_PATHWAYS,
            is_shuffled=True,
        )
    return folder / CELLS_FILE, folder / NETWORK_FILE, folder / TEXT_FILE


def prepared(scratch: Path) -> Path:
    """Prepare the simulated experiment, unless an earlier run did; return the data set's folder."""
    folder = scratch / f"prepared_{N_CELLS}"
    if not folder.exists():
        cells, network, text = input_files(scratch)
        prepare(cells, network, text, PrepareChoices(), out=folder)
    return folder


def prepared_responses(scratch: Path) -> Path:
    """Simulate and prepare 500 perturbations of 2,000 genes, unless an earlier run did: fewer and smaller."""
    folder = scratch / "responses"
    if not folder.exists():
        simulate(folder, n_perturbations=500, n_genes=2_000, cells_per_perturbation=20, n_controls=1_000)
        files = (folder / CELLS_FILE, folder / NETWORK_FILE, folder / TEXT_FILE)
        prepare(*files, PrepareChoices(), out=folder / "prepared")
    return folder / "prepared"
