"""Commands that make data: simulate, prepare."""

from pathlib import Path
from typing import Annotated

import typer

from adapert.cli.options import one_of
from adapert.cli.printing import console, print_rows


def simulate(
    out: Annotated[Path, typer.Option("--out", help="New directory for cells, network and text.")],
    seed: Annotated[int, typer.Option("--seed", help="Of every draw.")] = 0,
) -> None:
    """Write a small simulated Perturb-seq experiment with known effects."""
    from adapert.data.simulate import simulate as write_simulation

    write_simulation(out, seed=seed)
    console.print(
        f"Wrote {out}/cells.h5ad, {out}/network.tsv.gz and {out}/text.npz. Next:\n"
        f"  adapert prepare {out}/cells.h5ad --network {out}/network.tsv.gz "
        f"--embeddings {out}/text.npz --split-fractions 0.5 0.2 0.3 --out {out}/prepared",
        soft_wrap=True,
    )


def prepare(
    cells: Annotated[Path, typer.Argument(help=".h5ad of cells, or of responses with --kind responses.")],
    network: Annotated[Path, typer.Option("--network", help="gene_a gene_b score, STRING's links, BioGRID.")],
    embeddings: Annotated[
        Path, typer.Option("--embeddings", help=".npz, csv, parquet, GenePT pickle or json.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New directory for the prepared data set.")],
    kind: Annotated[str, typer.Option(help="cells, or responses: a table of deltas.")] = "cells",
    where: Annotated[list[str] | None, typer.Option(help="Keep rows: cell_type=k562. Repeatable.")] = None,
    aliases: Annotated[Path | None, typer.Option(help="Table of two symbols of the same gene.")] = None,
    network_info: Annotated[Path | None, typer.Option(help="STRING's info file; found beside.")] = None,
    counts_layer: Annotated[str | None, typer.Option(help="Layer of raw counts, or raw.X.")] = None,
    perturbation_column: Annotated[str | None, typer.Option(help="Column of obs; guessed.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Label of unperturbed cells, or pattern: 'NegCtrl*'. Repeatable; guessed."),
    ] = None,
    missing_is_control: Annotated[
        bool, typer.Option("--missing-is-control", help="Cells without a label are controls.")
    ] = False,
    group_guides: Annotated[
        bool, typer.Option("--group-guides", help="Put guides of a gene together: A2M_1, A2M_2.")
    ] = False,
    batch_column: Annotated[str | None, typer.Option(help="Sequencing batch; guessed.")] = None,
    cell_line_column: Annotated[str | None, typer.Option(help="Cell line; guessed.")] = None,
    gene_column: Annotated[str | None, typer.Option(help="Gene symbols, of var; guessed.")] = None,
    significant_layer: Annotated[str | None, typer.Option(help="Responses: layer that marks DEGs.")] = None,
    n_cells_column: Annotated[str | None, typer.Option(help="Responses: cells of each.")] = None,
    units: Annotated[str | None, typer.Option(help="Responses: units of the values, for captions.")] = None,
    n_genes: Annotated[int, typer.Option(help="Genes kept beside the perturbed ones.")] = 5000,
    min_cells: Annotated[int, typer.Option(help="Cells a perturbation must have.")] = 10,
    min_batch_controls: Annotated[int, typer.Option(help="Controls a batch must have.")] = 10,
    deg_test: Annotated[str, typer.Option(help="mann_whitney, or welch.")] = "mann_whitney",
    deg_adjust: Annotated[str, typer.Option(help="fdr (Benjamini-Hochberg), or none (Eq. 14).")] = "fdr",
    effect_size_groups: Annotated[
        str, typer.Option(help="fractions (5 and 10 %), or tertiles.")
    ] = "fractions",
    split_fractions: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="<float x3>", help="Shares of train, validation and test."),
    ] = (0.675, 0.075, 0.25),
    split_seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    split_file: Annotated[Path | None, typer.Option(help="Saved split: perturbation, split.")] = None,
) -> None:
    """Read, check and normalise cells (or responses), a network and text into one data set."""
    from adapert.api import prepare as prepare_data
    from adapert.data.prepare import summarize_prepared

    dataset = prepare_data(
        cells,
        network,
        embeddings,
        out,
        network_info=network_info,
        aliases=aliases,
        split_file=split_file,
        kind=one_of("--kind", kind, ("cells", "responses")),
        where=tuple(where or ()),
        counts_layer=counts_layer,
        perturbation_column=perturbation_column,
        control=tuple(control or ()),
        missing_is_control=missing_is_control,
        group_guides=group_guides,
        batch_column=batch_column,
        cell_line_column=cell_line_column,
        gene_column=gene_column,
        significant_layer=significant_layer,
        n_cells_column=n_cells_column,
        units=units,
        n_genes=n_genes,
        min_cells=min_cells,
        min_batch_controls=min_batch_controls,
        deg_test=one_of("--deg-test", deg_test, ("mann_whitney", "welch")),
        deg_adjust=one_of("--deg-adjust", deg_adjust, ("fdr", "none")),
        effect_size_groups=one_of("--effect-size-groups", effect_size_groups, ("fractions", "tertiles")),
        split_fractions=split_fractions,
        split_seed=split_seed,
    )
    print_rows(summarize_prepared(dataset))
    console.print(f"Wrote {out}. Next: adapert reproduce --data {out}", soft_wrap=True)
