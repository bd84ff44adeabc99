"""Figures: `summarize_` makes the tidy frame, `plot_` draws it, `write_figure` keeps both."""

from analysis.figures.recipes import FIGURES, draw_figures
from analysis.figures.writing import FigureRecipe, write_figure

__all__ = ["FIGURES", "FigureRecipe", "draw_figures", "write_figure"]
