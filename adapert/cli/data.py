"""Commands that make data: simulate, prepare."""

import shlex
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import typer

from adapert.cli.options import one_of
from adapert.cli.printing import console, print_rows


def simulate(
    out: Annotated[Path, typer.Option("--out", help="New directory for cells, network and text.")],
    combinations: Annotated[
        int | None,
        typer.Option("--combinations", help="How many of the 120 perturbations are of two genes; else 12."),
    ] = None,
    interaction: Annotated[
        float | None,
        typer.Option("--interaction", help="Combinations: effect beyond the sum, log units; 0 for none."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
) -> None:
    """Write a small simulated Perturb-seq experiment with known effects."""
    from adapert.data.simulate import simulate as write_simulation

    write_simulation(out, n_combinations=combinations, interaction=interaction, seed=seed)
    is_about_combinations = combinations != 0 and (combinations, interaction) != (None, None)
    split = "--split-scheme combinations" if is_about_combinations else "--split-fractions 0.5 0.2 0.3"
    words = ["adapert", "prepare", f"{out}/cells.h5ad", "--network", f"{out}/network.tsv.gz"]
    words += ["--embeddings", f"{out}/text.npz", *split.split(), "--out", f"{out}/prepared"]
    console.print(
        f"Wrote {out}/cells.h5ad, {out}/network.tsv.gz, {out}/text.npz and {out}/truth.npz. Next:\n"
        f"  {shlex.join(words)}",
        soft_wrap=True,
    )


def prepare(
    context: typer.Context,
    cells: Annotated[
        Path,
        typer.Argument(metavar="CELLS.h5ad", help=".h5ad of cells, or of responses with --kind responses."),
    ],
    network: Annotated[
        list[str],
        typer.Option(
            "--network",
            metavar="<[name=]file>",
            help="Edges: gene_a gene_b score, STRING, BioGRID; gene sets (.gmt); embeddings. Repeatable.",
        ),
    ],
    embeddings: Annotated[
        list[str],
        typer.Option(
            "--embeddings",
            metavar="<[name=]file>",
            help="Gene vectors: .npz, csv, parquet, GenePT pickle, json; another screen (.h5ad). Repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="New directory for the prepared data set.")],
    kind: Annotated[str, typer.Option(help="cells, or responses (a table of deltas).")] = "cells",
    where: Annotated[
        list[str] | None, typer.Option(help="Keep only rows: cell_type=k562. Repeatable.")
    ] = None,
    aliases: Annotated[Path | None, typer.Option(help="Table of pairs of symbols of one gene.")] = None,
    network_info: Annotated[
        Path | None, typer.Option(help="STRING's info file; found next to its links.")
    ] = None,
    counts_layer: Annotated[str | None, typer.Option(help="Layer of raw counts, or raw.X.")] = None,
    perturbation_column: Annotated[
        str | None, typer.Option(help="Column of obs with perturbations; guessed.")
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Label of unperturbed cells, or pattern: 'NegCtrl*'. Repeatable; guessed."),
    ] = None,
    missing_is_control: Annotated[
        bool, typer.Option("--missing-is-control", help="Treat cells without a label as controls.")
    ] = False,
    group_guides: Annotated[
        bool, typer.Option("--group-guides", help="Merge guides of one gene: A2M_1, A2M_2.")
    ] = False,
    target_sum: Annotated[
        str, typer.Option(metavar="<text>", help="Counts each cell is scaled to: a number, median or none.")
    ] = "4000",
    batch_column: Annotated[str | None, typer.Option(help="Column of sequencing batches; guessed.")] = None,
    cell_line_column: Annotated[str | None, typer.Option(help="Column of cell lines; guessed.")] = None,
    gene_column: Annotated[str | None, typer.Option(help="Column of var with gene symbols; guessed.")] = None,
    significant_layer: Annotated[str | None, typer.Option(help="Responses: layer that marks DEGs.")] = None,
    n_cells_column: Annotated[
        str | None, typer.Option(help="Responses: column with numbers of cells.")
    ] = None,
    units: Annotated[str | None, typer.Option(help="Responses: units of the values, for captions.")] = None,
    n_genes: Annotated[int, typer.Option(help="Genes to keep besides the perturbed ones.")] = 5000,
    min_cells: Annotated[int, typer.Option(help="Minimum cells per perturbation.")] = 10,
    min_batch_controls: Annotated[int, typer.Option(help="Minimum controls per batch.")] = 10,
    deg_test: Annotated[str, typer.Option(help="mann_whitney or welch.")] = "mann_whitney",
    deg_adjust: Annotated[str, typer.Option(help="fdr (Benjamini-Hochberg) or none (Eq. 14).")] = "fdr",
    effect_size_groups: Annotated[
        str, typer.Option(help="fractions (5 and 10 %) or tertiles.")
    ] = "fractions",
    split_scheme: Annotated[
        str,
        typer.Option(help="What is split: perturbations, or combinations (all single genes train)."),
    ] = "perturbations",
    split_fractions: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="<float x3>",
            help="Train, validation, test; of combinations .25 .25 .5.",
            show_default=".675 .075 .25",
        ),
    ] = None,
    split_seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    split_file: Annotated[Path | None, typer.Option(help="Saved split: columns perturbation, split.")] = None,
    families: Annotated[
        str,
        typer.Option(
            metavar="<text|file>",
            help="Perturbations that respond alike, by network, responses or gene sets (.gmt).",
        ),
    ] = "network",
) -> None:
    """Read, check and normalise cells (or responses), networks and embeddings into one data set."""
    from adapert.api import prepare as prepare_data
    from adapert.data.choices import PrepareChoices, read_target_sum
    from adapert.data.prepare import summarize_prepared
    from adapert.data.sources import EMBEDDINGS, NETWORKS, parse_sources

    given = {name: context.params[name] for name in get_type_hints(PrepareChoices)}
    given["target_sum"] = read_target_sum(target_sum)
    choices = {name: value for name, value in given.items() if value is not None}
    for name, kind in get_type_hints(PrepareChoices).items():
        if get_origin(kind) is Literal:
            one_of(f"--{name.replace('_', '-')}", choices[name], get_args(kind))
    dataset = prepare_data(
        cells,
        parse_sources(network, NETWORKS),
        parse_sources(embeddings, EMBEDDINGS),
        out,
        network_info=network_info,
        aliases=aliases,
        split_file=split_file,
        families=families,
        **choices,
    )
    print_rows(summarize_prepared(dataset))
    following = shlex.join(["adapert", "reproduce", "--data", str(out)])
    console.print(f"Wrote {out}. Next: {following}", soft_wrap=True)
