import re
from pathlib import Path

import pandas as pd
from fixtures.narrowed import present
from matplotlib.colors import to_rgb

import analysis
from adapert.config import model_names
from adapert.data.schema import EFFECT_SIZES
from analysis.figures.ablation import VARIANT_LABELS
from analysis.figures.expected_best import plot_expected_best
from analysis.figures.style import (
    EFFECT_SIZE_COLOURS,
    MODEL_COLOURS,
    VARIANT_COLOURS,
    model_colours,
)

WITH_COLOURS_OF_THEIR_OWN = {"style.py", "search.py"}  # the latter's map is shared by all figures of a search


def test_models_variants_and_effect_sizes_have_one_colour_each() -> None:
    assert set(MODEL_COLOURS) == set(model_names())
    assert tuple(EFFECT_SIZE_COLOURS) == EFFECT_SIZES
    assert list(VARIANT_COLOURS) == list(VARIANT_LABELS)
    for colours in (MODEL_COLOURS, EFFECT_SIZE_COLOURS, VARIANT_COLOURS):
        assert len(set(colours.values())) == len(colours)


def test_no_variant_has_the_colour_of_another_model() -> None:
    others = {colour for name, colour in MODEL_COLOURS.items() if name != "adapert"}
    assert VARIANT_COLOURS["full"] == MODEL_COLOURS["adapert"]
    assert not others & set(VARIANT_COLOURS.values())


def test_a_model_of_another_package_takes_a_colour_that_is_left() -> None:
    colours = model_colours(["theirs", "adapert", "more"])
    assert colours["adapert"] == MODEL_COLOURS["adapert"]
    assert len({colours[name] for name in ("theirs", "adapert", "more")}) == 3
    many = model_colours([f"m{number}" for number in range(30)])
    assert len(many) == 30 + len(MODEL_COLOURS)


def test_a_system_has_its_colour_whichever_others_there_are() -> None:
    summary = pd.DataFrame(
        {"system": ["kernel_ridge"] * 2, "n_trials": [1, 2], "expected_best": [0.1, 0.2], "first": 0.1}
    )
    line = plot_expected_best(summary).axes[0].get_lines()[0]
    assert to_rgb(line.get_color()) == MODEL_COLOURS["kernel_ridge"]


def test_no_figure_has_a_hue_of_its_own() -> None:
    folder = Path(present(analysis.__file__)).parent / "figures"
    hues = {
        path.name: re.findall(r'"#[0-9a-fA-F]{6}"|"C[0-9]"|"(?:tab|xkcd):', path.read_text())
        for path in folder.glob("*.py")
    }
    assert {name for name, found in hues.items() if found} <= WITH_COLOURS_OF_THEIR_OWN
