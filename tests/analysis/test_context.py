from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.figure_images import name_clipped
from fixtures.narrowed import of_kind
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from analysis.figures.context import place_genes, plot_context, summarize_context
from analysis.figures.page import STYLES
from analysis.figures.writing import fix_layout, write_single

GENES = [f"G{number:02d}" for number in range(30)]


@pytest.fixture
def contexts() -> pd.DataFrame:
    """Perturbation A+B selects itself and G00 to G28, G00 the most; G29 counts a little, unselected."""
    rows = [("A+B", "A", True, True, 0.001, 1.0), ("A+B", "B", True, True, 0.002, 1.0)]
    rows += [("A+B", gene, False, n < 29, 0.3 - 0.01 * n, 1.0) for n, gene in enumerate(GENES)]
    rows += [("C", "C", True, True, 0.5, 1.0)]
    columns = ["perturbation", "gene", "is_perturbed", "is_selected", "alpha", "weight"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


@pytest.fixture
def deltas() -> pd.DataFrame:
    """All genes but B were measured."""
    genes = ["A", "C", *GENES]
    values = np.linspace(-1, 1, 2 * len(genes)).reshape(2, -1)
    return pd.DataFrame(values, index=["A+B", "C"], columns=genes)


EDGES = pd.DataFrame({"source": ["A", "G00", "G01", "G28"], "target": ["G00", "G01", "G02", "G00"]})


def test_the_most_relevant_context_genes_are_shown_after_the_perturbed(
    contexts: pd.DataFrame, deltas: pd.DataFrame
) -> None:
    nodes = summarize_context(contexts, deltas, "A+B")
    assert list(nodes["gene"]) == ["B", "A", *GENES[:25]]
    assert list(nodes["is_perturbed"]) == [True] * 2 + [False] * 25
    assert set(nodes["n_selected"]) == {29}
    by_gene = nodes.set_index("gene")["predicted_delta"]
    assert np.isnan(by_gene["B"])
    assert by_gene["G07"] == deltas.loc["A+B", "G07"]


def test_without_alpha_the_weight_counts(contexts: pd.DataFrame, deltas: pd.DataFrame) -> None:
    nodes = summarize_context(contexts.assign(alpha=np.nan, weight=0.25), deltas, "A+B")
    assert set(nodes["relevance"]) == {0.25}


def test_the_picture_names_every_gene_and_draws_the_edges_among_them(
    contexts: pd.DataFrame, deltas: pd.DataFrame
) -> None:
    nodes = summarize_context(contexts, deltas, "A+B")
    figure = plot_context(nodes, EDGES, "rank")
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == set(nodes["gene"])
    assert len(axes.lines) == 3  # G28 is not shown
    assert figure.get_suptitle() == "Context of A+B: 29 genes selected, 25 most relevant shown"
    (dots,) = axes.collections
    areas = dict(zip(nodes["gene"], of_kind(PathCollection, dots).get_sizes(), strict=True))
    assert areas["G00"] > areas["G10"] > areas["G24"]
    assert figure.axes[1].get_ylabel() == "predicted delta (rank)"


def test_a_legend_says_what_relevance_a_dots_area_is(contexts: pd.DataFrame, deltas: pd.DataFrame) -> None:
    nodes = summarize_context(contexts, deltas, "A+B")
    axes = plot_context(nodes, EDGES, "rank").axes[0]
    (dots,) = axes.collections
    areas = dict(zip(nodes["gene"], of_kind(PathCollection, dots).get_sizes(), strict=True))
    legend = of_kind(Legend, axes.get_legend())
    shown = {
        text.get_text(): of_kind(Line2D, handle).get_markersize() ** 2
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert shown == pytest.approx({"0.3": areas["G00"], "0.18": areas["G12"], "0.06": areas["G24"]})


def test_equal_relevances_have_one_dot_in_the_legend(contexts: pd.DataFrame, deltas: pd.DataFrame) -> None:
    nodes = summarize_context(contexts.assign(alpha=np.nan, weight=0.25), deltas, "A+B")
    legend = of_kind(Legend, plot_context(nodes, EDGES, "rank").axes[0].get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["0.25"]


def test_a_perturbation_that_selects_nothing_is_drawn_alone(
    contexts: pd.DataFrame, deltas: pd.DataFrame, tmp_path: Path
) -> None:
    figure = plot_context(summarize_context(contexts, deltas, "C"), EDGES, "rank")
    assert figure.get_suptitle() == "Context of C: no genes selected"
    assert "The model selected no context gene." in [text.get_text() for text in figure.axes[0].texts]
    assert figure.axes[0].get_legend() is None
    assert write_single(figure, tmp_path / "c.svg") == [tmp_path / "c.svg"]
    assert b"<svg" in (tmp_path / "c.svg").read_bytes()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("perturbation", ["A+B", "C"])
def test_no_word_of_a_picture_is_cut_in_any_style(
    contexts: pd.DataFrame, deltas: pd.DataFrame, style: str, perturbation: str
) -> None:
    nodes = summarize_context(contexts, deltas, perturbation)
    figure = plot_context(nodes, EDGES, "rank", STYLES[style])
    fix_layout(figure)
    assert name_clipped(figure) == []


def test_for_a_paper_the_words_stand_beside_the_picture_and_for_a_screen_nothing_is_touched(
    contexts: pd.DataFrame, deltas: pd.DataFrame, tmp_path: Path
) -> None:
    nodes = summarize_context(contexts, deltas, "A+B")
    own, words = tmp_path / "c.txt", tmp_path / "c_caption.txt"
    own.write_text("kept")
    assert write_single(plot_context(nodes, EDGES, "rank"), tmp_path / "c.pdf") == [tmp_path / "c.pdf"]
    paper = plot_context(nodes, EDGES, "rank", STYLES["paper"])
    assert paper.get_size_inches()[0] == pytest.approx(180 / 25.4)
    written = write_single(paper, tmp_path / "c.pdf")
    assert [path.name for path in written] == ["c.pdf", "c_caption.txt", "c_caption.tex"]
    assert "Thick rim: perturbed." in words.read_text()
    assert own.read_text() == "kept"
    assert paper.texts == []


def test_perturbed_genes_lie_in_the_middle_and_no_two_genes_on_one_place(
    contexts: pd.DataFrame, deltas: pd.DataFrame
) -> None:
    nodes = summarize_context(contexts, deltas, "A+B")
    place = place_genes(nodes, EDGES)
    assert set(place) == set(nodes["gene"])
    assert len(set(place.values())) == len(place)
    radius = {gene: np.hypot(*xy) for gene, xy in place.items()}
    assert max(radius["A"], radius["B"]) < min(radius[gene] for gene in GENES[:25])
