from itertools import product

import numpy as np
import pandas as pd
import pytest

from adapert.records import OBJECTIVE
from benchmarks.learning_curves import (
    COLUMNS,
    KEYS,
    TABULATIONS,
    Surrogate,
    config_to_unit,
    drawn_configs,
    rank_correlations,
    read_curves,
    truncate_curves,
    unit_to_config,
)
from search_spaces.adapert import SPACE


@pytest.fixture(params=TABULATIONS)
def table(request: pytest.FixtureRequest) -> pd.DataFrame:
    return read_curves(request.param)


def invented_table() -> pd.DataFrame:
    """24 configs, whose curves rise to a value that lambda_non decides; 4 of them twice."""
    rows = []
    configs = drawn_configs(24)
    for config, seed in [*product(range(24), [0]), *product(range(4), [1])]:
        height = config_to_unit(configs[config])[0] + 0.01 * seed
        settings = configs[config].values()
        rows += [(config, seed, epoch, *settings, height * epoch / 6, 0.1) for epoch in range(1, 7)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_stored_table_has_a_row_an_epoch_of_each_run(table: pd.DataFrame) -> None:
    assert list(table.columns) == list(COLUMNS)
    assert not table.isna().any(axis=None)
    assert not table.duplicated(list(KEYS)).any()
    assert (
        table.groupby(["config", "seed"])["epoch"].agg(lambda epochs: epochs.max() - len(epochs)) == 0
    ).all()


def test_stored_objective_is_the_best_so_far(table: pd.DataFrame) -> None:
    assert (table.groupby(["config", "seed"])[OBJECTIVE].diff().dropna() >= 0).all()


def test_stored_configs_are_those_of_the_script(table: pd.DataFrame) -> None:
    stored = table.drop_duplicates("config").set_index("config")[list(SPACE)]
    drawn = pd.DataFrame(drawn_configs(512))
    pd.testing.assert_frame_equal(stored, drawn.loc[stored.index], check_names=False)


def test_config_and_unit_point_turn_into_each_other() -> None:
    middle = unit_to_config(np.full(len(SPACE), 0.5))
    assert middle["loss.lambda_non"] == pytest.approx(1e-3)
    assert middle["loss.huber_delta"] == pytest.approx(1.05)
    assert middle["graph.top_k"] == 20
    point = [0.1, 0.9, 0.3, 0.7, 0.2, 0.375]
    assert config_to_unit(unit_to_config(np.array(point))) == pytest.approx(point)


def test_surrogate_never_falls_with_epochs() -> None:
    surrogate = Surrogate(invented_table(), n_trees=5)
    generator = np.random.default_rng(0)
    for curve in surrogate.curves(generator.random((50, len(SPACE)))):
        assert (np.diff(curve) >= 0).all()
        assert (np.diff(surrogate.with_noise(curve, generator)) >= 0).all()


def test_surrogate_ranks_what_a_field_decides_and_finds_its_end() -> None:
    surrogate = Surrogate(invented_table(), n_trees=50)
    points = np.full((5, len(SPACE)), 0.5)
    points[:, 0] = [0.0, 0.25, 0.5, 0.75, 1.0]
    final = surrogate.final(points)
    assert (np.diff(final) > 0).all()
    assert surrogate.optimum() >= final[-1]


def test_noise_is_the_difference_of_seeds_over_the_root_of_two() -> None:
    surrogate = Surrogate(invented_table(), n_trees=5)
    assert surrogate.noise[:, -1] == pytest.approx(np.full(4, 0.01 / np.sqrt(2)))


def test_truncated_curves_are_those_of_a_smaller_budget() -> None:
    assert truncate_curves(invented_table(), 4)["epoch"].max() == 4


def test_rank_correlation_is_high_where_a_field_decides_all() -> None:
    correlations = rank_correlations(invented_table(), n_folds=3)
    assert correlations["surrogate"] > 0.7
    assert correlations["seeds"] == pytest.approx(1)
    assert correlations["early"] == pytest.approx(1)
