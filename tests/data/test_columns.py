import numpy as np
import pandas as pd
import pytest

from adapert.data.columns import BATCH, PERTURBATION, filter_rows, find_column, require_column, text_array
from adapert.errors import InputError


@pytest.fixture
def obs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "condition": pd.Categorical(["KLF1", "ctrl", "SET"]),
            "Gem_Group": [1, 2, 2],
            "cell_type": ["k562", "rpe1", None],
        }
    )


def test_usual_name_is_guessed_whatever_its_case(obs: pd.DataFrame) -> None:
    assert find_column(obs, BATCH, None) == "Gem_Group"


def test_likelier_name_is_guessed_first(obs: pd.DataFrame) -> None:
    assert find_column(obs.assign(perturbation="KLF1"), PERTURBATION, None) == "perturbation"


def test_no_usual_name_is_no_guess(obs: pd.DataFrame) -> None:
    assert find_column(obs[["cell_type"]], BATCH, None) is None


def test_named_column_wins(obs: pd.DataFrame) -> None:
    assert find_column(obs, BATCH, "cell_type") == "cell_type"


def test_unknown_column_is_answered_with_the_nearest_and_the_list(obs: pd.DataFrame) -> None:
    with pytest.raises(
        InputError, match=r"no 'conditoin'\. Did you mean 'condition'\? The columns are 'condition', 'Gem"
    ):
        find_column(obs, PERTURBATION, "conditoin")


def test_missing_column_is_answered_with_the_list(obs: pd.DataFrame) -> None:
    with pytest.raises(
        InputError, match="Name it with --perturbation-column; the columns are 'Gem_Group', 'cell"
    ):
        require_column(obs.drop(columns="condition"), PERTURBATION, None)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ((), [True, True, True]),
        (("cell_type=k562",), [True, False, False]),
        (("cell_type=k562", "cell_type=rpe1"), [True, True, False]),
        (("cell_type=rpe1", "Gem_Group=2"), [False, True, False]),
    ],
)
def test_where_joins_values_and_crosses_columns(
    obs: pd.DataFrame, where: tuple[str, ...], kept: list[bool]
) -> None:
    assert filter_rows(obs, where).tolist() == kept


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("cell_type", "must be column=value, but it is 'cell_type'"),
        ("celltype=k562", r"no 'celltype'\. Did you mean 'cell_type'\?"),
        ("cell_type=K562x", r"never is 'K562x'.* Its values are 'k562', 'rpe1'"),
    ],
)
def test_bad_condition_is_refused(obs: pd.DataFrame, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        filter_rows(obs, (where,))


def test_conditions_that_keep_nothing_are_refused(obs: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="keeps none"):
        filter_rows(obs, ("cell_type=k562", "Gem_Group=2"))


def test_missing_value_becomes_unknown(obs: pd.DataFrame) -> None:
    assert np.array_equal(text_array(obs["cell_type"]), ["k562", "rpe1", "unknown"])
