import pytest
from fixtures.builders import PlanOf

from adapert.comparison.score import measure_ceilings
from adapert.data.prepared import PreparedDataset
from adapert.models.reference import REFERENCE_MODELS
from adapert.training.evaluation import evaluate_model


def test_models_are_scored_on_the_same_draws_of_cells(tiny_dataset: PreparedDataset) -> None:
    model = REFERENCE_MODELS["mean"]()
    model.fit(tiny_dataset)
    one, again = (evaluate_model(model, tiny_dataset, "test", seed=0) for _ in range(2))
    other = evaluate_model(model, tiny_dataset, "test", seed=1)
    assert one.clip_fraction == again.clip_fraction
    assert one.clip_fraction != other.clip_fraction


def test_responses_have_no_ceilings(responses: PreparedDataset, plan_of: PlanOf) -> None:
    assert measure_ceilings(plan_of("mean"), responses) == []


def test_a_ceiling_that_the_data_do_not_allow_is_left_out_with_its_reason(
    tiny_dataset: PreparedDataset, plan_of: PlanOf, logged: pytest.LogCaptureFixture
) -> None:
    rows = measure_ceilings(plan_of("mean"), tiny_dataset)  # values, not counts
    assert [(row.variant, row.model) for row in rows] == [("split_half", None)]
    assert "resampled is left out" in logged.messages[-1]
