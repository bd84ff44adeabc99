from adapert.study.engine.reports import select_reported, values_of

REPORT = {"pid": 7, "pds": 0.5, "loss_kl": 2, "epoch": 1, "loss_total": 3.0, "n_parameters": 4, "done": False}


def test_every_term_of_a_loss_is_kept_and_no_bookkeeping() -> None:
    assert values_of(REPORT) == {
        "epoch": 1.0,
        "loss_kl": 2.0,
        "loss_total": 3.0,
        "pds": 0.5,
        "n_parameters": 4.0,
    }


def test_a_name_of_both_of_two_reports_is_selected_once() -> None:
    assert select_reported([*REPORT, "mse", *REPORT]) == select_reported([*REPORT, "mse"])
