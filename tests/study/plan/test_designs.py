from adapert.study.plan.designs import add_one_in, all_combinations, leave_one_out

COMPONENTS: dict[str, dict[str, object]] = {
    "context": {"model.context": "constant"},
    "non_deg": {"loss.lambda_non": 0.0},
}


def test_each_component_is_left_out_alone() -> None:
    assert leave_one_out(COMPONENTS) == {
        "full": {},
        "no_context": {"model.context": "constant"},
        "no_non_deg": {"loss.lambda_non": 0.0},
    }


def test_each_component_is_added_to_nothing() -> None:
    assert add_one_in(COMPONENTS) == {
        "full": {},
        "none": {"model.context": "constant", "loss.lambda_non": 0.0},
        "only_context": {"loss.lambda_non": 0.0},
        "only_non_deg": {"model.context": "constant"},
    }


def test_all_combinations_are_the_subsets_of_the_components() -> None:
    three = COMPONENTS | {"align": {"loss.lambda_align": 0.0}}
    variants = all_combinations(three)
    by_bits = {frozenset(name for bit, name in enumerate(three) if number >> bit & 1) for number in range(8)}
    removed = {
        frozenset(name for name, changes in three.items() if changes.items() <= variant.items())
        for variant in variants.values()
    }
    assert len(variants) == 8
    assert removed == by_bits
    assert variants["no_context_no_align"] == {"model.context": "constant", "loss.lambda_align": 0.0}


def test_no_component_leaves_the_full_model() -> None:
    assert all_combinations({}) == {"full": {}}
