"""Figures: `summarize_` makes the tidy frame, `plot_` draws it, `write_figure` keeps both."""
