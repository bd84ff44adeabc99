from adapert.records import HOST, IS_OVER
from adapert.study.engine.reports import order_reported, values_of

REPORT = {HOST: "node", "rank": 7, "pds": 0.5, "loss_kl": 2, "epoch": 1, "loss_total": 3.0, IS_OVER: False}


def test_every_value_is_kept_also_of_names_that_one_system_has_alone() -> None:
    values = values_of(REPORT)
    assert values == {"epoch": 1.0, "loss_kl": 2.0, "loss_total": 3.0, "pds": 0.5, "rank": 7.0}
    assert list(values) == ["epoch", "loss_kl", "loss_total", "pds", "rank"]


def test_a_name_of_both_of_two_reports_comes_once() -> None:
    assert order_reported(["rank", "mse", "angle", "rank"]) == ["mse", "angle", "rank"]
