"""Families of perturbations: analysis of variance, resampling, and what follows for comparisons."""

import numpy as np
import pytest
from fixtures.narrowed import present
from fixtures.store import MakeTable
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.estimates import bootstrap_interval, relate, resample_mean, summarize_by
from adapert.statistics.families import (
    FamilyLayout,
    average_by_family,
    draw_family_counts,
    draw_shares,
    lay_out,
    number_families,
    resample_families,
)
from adapert.statistics.paired import compare_pairs, summarize_paired
from adapert.statistics.two_level import draw_counts, measure_spread

FAMILY = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])


def simulate(family: np.ndarray, icc: float, seed: int, n_seeds: int = 1) -> np.ndarray:
    generator = numpy_generator(seed, "families")
    effects = np.sqrt(icc) * generator.normal(size=family.max() + 1)[family]
    return np.asarray(effects + np.sqrt(1 - icc) * generator.normal(size=(n_seeds, len(family))))


def layout_of(values: np.ndarray, family: np.ndarray) -> FamilyLayout:
    return present(lay_out(values, family))


def analysis_of_variance(values: np.ndarray, family: np.ndarray) -> tuple[float, float, float]:
    """ICC, its F value, and the size of equal families, by Searle's formulas in plain loops."""
    groups = [values[family == each] for each in range(family.max() + 1)]
    n, n_groups, mean = len(values), len(groups), values.mean()
    between = sum(len(group) * (group.mean() - mean) ** 2 for group in groups) / (n_groups - 1)
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (n - n_groups)
    size = (n - sum(len(group) ** 2 for group in groups) / n) / (n_groups - 1)
    return (between - within) / (between + (size - 1) * within), between / within, size


def test_icc_is_that_of_an_analysis_of_variance() -> None:
    values = simulate(FAMILY, 0.5, seed=0)[0]
    layout = layout_of(values, FAMILY)
    icc, f_value, size = analysis_of_variance(values, FAMILY)
    assert layout.icc == pytest.approx(icc)
    assert layout.typical_size == pytest.approx(size)
    groups = [values[each == FAMILY] for each in range(4)]
    assert layout.mean_square_between / layout.mean_square_within == pytest.approx(f_value)
    assert f_value == pytest.approx(stats.f_oneway(*groups).statistic)


def test_interval_of_the_icc_excludes_0_where_the_f_test_does() -> None:
    family = np.arange(40) // 4
    for seed in range(30):
        values = simulate(family, 0.2, seed=seed)[0]
        p = stats.f_oneway(*[values[family == each] for each in range(10)]).pvalue
        low, high = layout_of(values, family).icc_interval
        assert low < high
        assert (low > 0) == (p < 0.025)


def test_design_effect_of_equal_families_is_kishs() -> None:
    layout = FamilyLayout(sizes=np.full(5, 8.0), mean_square_between=3.0, mean_square_within=1.0)
    assert layout.icc == pytest.approx(2 / (3 + 7))
    assert layout.design_effect == pytest.approx(1 + 7 * 0.2)
    # Of equal families the mean of their means: its variance is the mean square between them, over n.
    assert layout.variance == pytest.approx(3 / 40)
    assert layout.freedom == pytest.approx(4)


def test_nothing_is_known_of_families_where_none_is_shared_or_all_are_one() -> None:
    values = np.arange(5.0)
    assert lay_out(values, np.arange(5)) is None
    assert lay_out(values, np.zeros(5, dtype=int)) is None


def test_families_are_numbered_by_name() -> None:
    assert number_families(np.array(["b", "a", "c", "a"])).tolist() == [1, 0, 2, 0]


def test_every_member_of_a_family_is_drawn_together() -> None:
    counts = draw_family_counts(FAMILY, numpy_generator(0, "test"), 50)
    by_family = draw_counts(4, numpy_generator(0, "test"), 50)
    for resample, drawn in zip(counts, by_family, strict=True):
        for place, family in enumerate(FAMILY):
            assert resample[place] == drawn[family]


def test_resamples_are_those_of_a_loop_over_families_and_members() -> None:
    values = simulate(FAMILY, 0.6, seed=2)
    layout = layout_of(values[0], FAMILY)
    assert layout.between > 0
    of_member = numpy_generator(1, "test").integers(10, size=(25, 10))
    counts = np.array([np.bincount(row, minlength=10) for row in of_member])
    found = resample_families(values, FAMILY, layout, counts, numpy_generator(0, "test"))
    of_place = numpy_generator(0, "test").integers(4, size=(25, 4))
    means = np.array([values[0][each == FAMILY].mean() for each in range(4)])
    effects, rest = means - means.mean(), values[0] - means[FAMILY]
    effects *= np.sqrt(layout.between / np.mean(effects**2))
    rest *= np.sqrt(layout.mean_square_within / np.mean(rest**2))
    for resample in range(25):
        drawn = [
            values.mean() + effects[of_place[resample, family]] + rest[of_member[resample, place]]
            for place, family in enumerate(FAMILY)
        ]
        assert found.draws[resample] == pytest.approx(np.mean(drawn))


def test_resamples_vary_as_the_layout_says() -> None:
    family = np.concatenate([np.arange(60) // 6, np.arange(10, 40)])
    values = simulate(family, 0.4, seed=3)
    layout = layout_of(values[0], family)
    generator = numpy_generator(0, "test")
    counts = draw_counts(len(family), generator, 40_000)
    found = resample_families(values, family, layout, counts, generator)
    assert found.draws.var() == pytest.approx(layout.variance, rel=0.03)


def test_seeds_that_differ_by_family_are_no_variance_that_all_perturbations_share() -> None:
    # What each seed does to each family is counted among families, and not once more among seeds.
    family = np.arange(400) // 8
    generator = numpy_generator(5, "families")
    values = generator.normal(size=400) + 2 * generator.normal(size=(40, 50))[:, family]
    layout = layout_of(values.mean(axis=0), family)
    counts = draw_counts(400, generator)
    spread = measure_spread(resample_families(values, family, layout, counts, generator))
    expected = 4 / 50 / 40
    assert spread.interaction == pytest.approx(expected, rel=0.1)
    assert spread.between_seeds == pytest.approx(expected, rel=0.5)
    independent = measure_spread(resample_mean(values, counts))
    assert independent.interaction < expected / 4


def test_interval_of_equal_families_is_that_of_their_means() -> None:
    family = np.arange(200) // 5
    values = simulate(family, 0.5, seed=6)
    low, high = bootstrap_interval(
        values, numpy_generator(0, "test"), n_resamples=20_000, families=family.astype(str)
    )
    means = average_by_family(values, family)[0]
    half = stats.sem(means) * stats.t.ppf(0.975, 39)
    np.testing.assert_allclose((low, high), (means.mean() - half, means.mean() + half), atol=0.05 * half)


def test_families_whose_members_do_not_correlate_change_no_interval() -> None:
    family = np.repeat(np.arange(10), 2)
    values = np.tile([1.0, -1.0], 10)[None] * np.linspace(0.5, 1.5, 20)
    assert not relate(values, family.astype(str)).matters
    plain = bootstrap_interval(values, numpy_generator(0, "test"))
    assert bootstrap_interval(values, numpy_generator(0, "test"), families=family.astype(str)) == plain


def test_perturbations_without_a_value_leave_the_others_in_their_families() -> None:
    values = simulate(FAMILY, 0.6, seed=2, n_seeds=3)
    padded = np.insert(values, [0, 4], np.nan, axis=1)
    names = np.insert(FAMILY.astype(str), [0, 4], "other")
    found = compare_pairs(padded, numpy_generator(0, "test"), families=names)
    assert found == compare_pairs(values, numpy_generator(0, "test"), families=FAMILY.astype(str))


def test_related_perturbations_widen_the_interval_and_raise_p() -> None:
    family = np.arange(80) // 8
    values = 0.4 + simulate(family, 0.5, seed=8, n_seeds=3)
    plain = compare_pairs(values, numpy_generator(0, "test"))
    found = compare_pairs(values, numpy_generator(0, "test"), families=family.astype(str))
    assert found["icc_low"] > 0
    assert found["design_effect"] == pytest.approx(1 + 7 * found["icc"])
    width, unrelated = found["high"] - found["low"], found["high_unrelated"] - found["low_unrelated"]
    assert width / unrelated == pytest.approx(np.sqrt(found["design_effect"]) * 2.26 / 1.99, rel=0.1)
    assert (plain["low"], plain["high"]) == (found["low_unrelated"], found["high_unrelated"])
    assert found["p"] >= found["p_families"] > plain["p"]
    assert found["n_families"] == 10
    assert plain["design_effect"] == 1
    assert np.isnan(plain["icc"])


def test_families_of_the_long_table_reach_estimates_and_comparisons(make_table: MakeTable) -> None:
    family = np.arange(24) // 4
    values = simulate(family, 0.7, seed=9)[0]
    frame = make_table(
        [
            {
                "variant": variant,
                "perturbation": f"P{place:02d}",
                "family": f"F{family[place]}",
                "value": value,
            }
            for variant, level in (("full", np.zeros(24)), ("no_context", values))
            for place, value in enumerate(level)
        ],
        metric="mse",
    )
    row = summarize_paired(frame).iloc[0]
    generator = numpy_generator(0, "bootstrap/all/no_context/mse")
    expected = compare_pairs(values[None], generator, families=family.astype(str))
    assert row[list(expected)].to_dict() == pytest.approx(dict(expected))
    assert row["design_effect"] > 1
    related = summarize_by(frame, ["variant"]).set_index("variant")
    unrelated = summarize_by(frame.assign(family=frame["perturbation"]), ["variant"]).set_index("variant")
    widths = [
        float(np.diff(table.loc["no_context", ["low", "high"]].to_numpy(dtype=float))[0])
        for table in (related, unrelated)
    ]
    assert widths[0] > widths[1]


def test_shares_go_to_random_families_and_are_never_lost() -> None:
    shares = np.array([0.5, 0.3, 0.2])
    given = draw_shares(shares, numpy_generator(0, "test"), 4)
    drawn = numpy_generator(0, "test").integers(3, size=(4, 3))
    for resample in range(4):
        for family in range(3):
            expected = sum(share for share, to in zip(shares, drawn[resample], strict=True) if to == family)
            assert given[resample, family] == pytest.approx(expected)
    np.testing.assert_allclose(given.sum(axis=1), 1)
