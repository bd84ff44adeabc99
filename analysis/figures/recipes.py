"""Which study, prepared data set or evaluation has which figures, and how they are drawn together."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd

from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError, name_some
from adapert.results.load import NothingToShowError, load_curves, load_search
from adapert.results.study import StudyResults
from analysis.figures.ablation import plot_ablation, summarize_ablation
from analysis.figures.ablation_path import plot_path, summarize_path
from analysis.figures.contours import plot_contours, summarize_contours
from analysis.figures.deg_counts import plot_deg_counts, summarize_deg_counts
from analysis.figures.expected_best import plot_expected_best, summarize_expected_best
from analysis.figures.expression import plot_expression, summarize_expression
from analysis.figures.graph_coverage import plot_graph_coverage, summarize_graph_coverage
from analysis.figures.history import plot_history, summarize_history
from analysis.figures.importance import plot_importance
from analysis.figures.leaderboard import plot_leaderboard
from analysis.figures.learning_curves import plot_learning_curves, summarize_learning_curves
from analysis.figures.network_noise import plot_network_noise, summarize_network_noise
from analysis.figures.page import SCREEN, Style
from analysis.figures.parallel import plot_parallel, summarize_parallel
from analysis.figures.pathways import plot_pathways, summarize_pathways
from analysis.figures.prediction import plot_prediction, summarize_prediction
from analysis.figures.priors import plot_priors, summarize_priors
from analysis.figures.sensitivity import plot_sensitivity, summarize_sensitivity
from analysis.figures.slices import plot_slices, summarize_slices
from analysis.figures.writing import Drawing, FigureRecipe, draw_figure, write_drawing
from analysis.importance import load_importance, summarize_importance
from analysis.leaderboard.load import load_searches
from analysis.leaderboard.summary import load_summary
from analysis.predictions import Predictions, choose_variants
from analysis.priors import load_priors

_LOGGER = logging.getLogger(f"adapert.{__name__}")


class _HasStem(Protocol):
    @property
    def stem(self) -> str: ...


Source = TypeVar("Source", bound=_HasStem)
"""A figure's recipe or a table: what becomes files of a name."""


@dataclass(frozen=True)
class Prepared:
    """What the figures of a prepared data set are made of.

    Attributes:
        dataset: The data set.
        predictions: An evaluation on it: Figure 8 also follows its strongest genes; None if there is none.
        min_change: Change above which Figure 7 counts a gene; None counts the data set's DEGs.
    """

    dataset: PreparedDataset
    predictions: Predictions | None = None
    min_change: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """What the figures of an evaluation are made of.

    Attributes:
        predictions: Its predictions.
        perturbation: The one that Figures 1 and 9 show; None lets them choose.
        gene_sets: Pathway to genes, of Figure 9; None has no Figure 9.
    """

    predictions: Predictions
    perturbation: str | None = None
    gene_sets: Mapping[str, list[str]] | None = None


def _summarize_graph_coverage(source: Prepared) -> pd.DataFrame:
    predictions = source.predictions
    variant = None if predictions is None else choose_variants(predictions)[0]
    return summarize_graph_coverage(source.dataset, predictions, variant)


def _summarize_pathways(evaluation: Evaluation) -> pd.DataFrame:
    if evaluation.gene_sets is None:
        raise InputError("Figure 9 needs gene sets, but none were given. Name a GMT file with --pathways.")
    return summarize_pathways(evaluation.predictions, evaluation.gene_sets, evaluation.perturbation)


FIGURES: dict[str, tuple[FigureRecipe, ...]] = {
    "ablation": (FigureRecipe("figure_4_ablation", summarize_ablation, plot_ablation),),
    "sensitivity": (FigureRecipe("figure_5_sensitivity", summarize_sensitivity, plot_sensitivity),),
    "priors": (FigureRecipe("priors", summarize_priors, plot_priors, load_priors),),
    "noise": (FigureRecipe("network_noise", summarize_network_noise, plot_network_noise),),
    "path": (FigureRecipe("ablation_path", summarize_path, plot_path),),
    "importance": (FigureRecipe("importance", summarize_importance, plot_importance, load_importance),),
    "peers": (
        FigureRecipe("leaderboard", lambda summary: summary, plot_leaderboard, load_summary),
        FigureRecipe("expected_best", summarize_expected_best, plot_expected_best, load_searches),
    ),
    "search": (
        FigureRecipe("search_history", summarize_history, plot_history, load_search),
        FigureRecipe("search_parallel", summarize_parallel, plot_parallel, load_search),
        FigureRecipe("search_slices", summarize_slices, plot_slices, load_search),
        FigureRecipe("search_contours", summarize_contours, plot_contours, load_search),
        FigureRecipe("search_curves", summarize_learning_curves, plot_learning_curves, load_curves),
    ),
}
"""Design of a study to its figures; a further figure is a line here."""

DATA_FIGURES = (
    FigureRecipe("figure_6_expression", lambda source: summarize_expression(source.dataset), plot_expression),
    FigureRecipe(
        "figure_7_deg_counts",
        lambda source: summarize_deg_counts(source.dataset, source.min_change),
        plot_deg_counts,
    ),
    FigureRecipe("figure_8_graph_coverage", _summarize_graph_coverage, plot_graph_coverage),
)
"""Figures of a prepared data set; their `summarize` takes a `Prepared`."""

FIGURE_1 = FigureRecipe(
    "figure_1_prediction",
    lambda evaluation: summarize_prediction(evaluation.predictions, evaluation.perturbation),
    plot_prediction,
)

EVALUATION_FIGURES = (FIGURE_1, FigureRecipe("figure_9_pathways", _summarize_pathways, plot_pathways))
"""Figures of an evaluation; their `summarize` takes an `Evaluation`."""


def figure_stems() -> list[str]:
    """List the names of all figures."""
    recipes = [recipe for of_design in FIGURES.values() for recipe in of_design]
    return [recipe.stem for recipe in (*recipes, *DATA_FIGURES, *EVALUATION_FIGURES)]


def draw_figures(
    studies: Sequence[StudyResults],
    directory: Path,
    split: str = "validation",
    only: Collection[str] = (),
    style: Style = SCREEN,
) -> dict[str, list[Path]]:
    """Draw the figures of each study that has some.

    Everything is read, checked and drawn before the first file is written. Where two studies share a design,
    the files' names end in the study's. A figure that a study has no data for is left out beside others.

    Args:
        studies: Those whose design has no figure are passed over beside others that have.
        directory: Target; created if need be, and files of the same name are replaced.
        split: Split that is shown, where a figure shows one.
        only: Stems of the figures to draw; empty draws all.
        style: What they are drawn for.

    Returns:
        Name of a study to its files, each figure's PNG first, in the order of `studies`.

    Raises:
        InputError: A damaged study, or no figure that could be drawn.
    """
    designs = {study.name: study.design for study in studies}
    wanted = {study.name: select_stems(FIGURES.get(study.design, ()), only) for study in studies}
    if not any(wanted.values()):
        raise InputError(
            f"Figures are drawn of studies whose design is {', '.join(FIGURES)}, but given were "
            f"{name_some(f'{study} ({design})' for study, design in designs.items()) or 'none'}. "
            "Launch a search, an ablation or a sensitivity study."
        )
    attempts = _Attempts(style)
    for study in studies:
        is_shared = list(designs.values()).count(study.design) > 1
        load = cached_load(study, split)
        for recipe in wanted[study.name]:
            stem = f"{recipe.stem}_{study.name}" if is_shared else recipe.stem
            attempts.draw(study.name, recipe, load, stem)
    return attempts.write(directory)


def draw_source(
    recipes: Sequence[FigureRecipe],
    source: Any,
    directory: Path,
    only: Collection[str] = (),
    style: Style = SCREEN,
) -> list[Path]:
    """Draw the figures of a prepared data set or of an evaluation.

    Args:
        recipes: `DATA_FIGURES` or `EVALUATION_FIGURES`.
        source: What their `summarize` takes.
        directory: Target; created if need be, and files of the same name are replaced.
        only: Stems of the figures to draw; empty draws all.
        style: What they are drawn for.

    Returns:
        The files, each figure's PNG first; none where `only` names none of them.

    Raises:
        InputError: None of the figures could be drawn.
    """
    attempts = _Attempts(style)
    for recipe in select_stems(recipes, only):
        attempts.draw("", recipe, lambda _: source, recipe.stem)
    return attempts.write(directory).get("", [])


@dataclass
class _Attempts:
    """Draws figure after figure, and writes none before all are drawn."""

    style: Style
    drawings: dict[str, list[Drawing]] = field(default_factory=dict)
    reasons: list[tuple[str, InputError]] = field(default_factory=list)

    def draw(self, study: str, recipe: FigureRecipe, load: Callable[[FigureRecipe], Any], stem: str) -> None:
        try:
            source = load(recipe)  # a damaged study is refused, and no figure of any is written
        except NothingToShowError as error:
            self.reasons.append((stem, error))
            return
        try:
            self.drawings.setdefault(study, []).append(draw_figure(recipe, source, stem, self.style))
        except InputError as error:
            self.reasons.append((stem, error))

    def write(self, directory: Path) -> dict[str, list[Path]]:
        if self.reasons and not any(self.drawings.values()):
            raise self.reasons[0][1]
        for stem, reason in self.reasons:
            _LOGGER.info(f"Left out {stem}: {reason}")
        return {
            study: [path for drawing in drawings for path in write_drawing(drawing, directory)]
            for study, drawings in self.drawings.items()
            if drawings
        }


def select_stems(sources: Sequence[Source], only: Collection[str]) -> list[Source]:
    """Keep the figures or tables of these file names; all where none is named."""
    return [source for source in sources if not only or source.stem in only]


def cached_load(study: StudyResults, split: str) -> Callable[[FigureRecipe], pd.DataFrame]:
    """Load a study's frames, each once however many figures it serves."""
    loaded: dict[Any, pd.DataFrame] = {}

    def load(recipe: FigureRecipe) -> pd.DataFrame:
        if recipe.load not in loaded:
            loaded[recipe.load] = recipe.load(study)
        frame = loaded[recipe.load]
        if "split" not in frame:
            return frame
        selected = frame[frame["split"] == split]
        if selected.empty:
            known = name_some(sorted(set(frame["split"].astype(str))))
            raise NothingToShowError(
                f"No run of study '{study.name}' has the split '{split}'; they have {known}."
            )
        return selected

    return load
