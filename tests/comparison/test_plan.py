import re
from typing import Any

import pytest
from fixtures.builders import PlanOf

from adapert.errors import InputError


@pytest.mark.parametrize(
    ("models", "changes", "says"),
    [
        ((), {}, "A comparison needs a model"),
        (("mean", "rigde_both"), {}, "There is no model 'rigde_both'. Did you mean 'ridge_both'?"),
        (("mean",), {"emission": "titled"}, "no way of emission 'titled'. Did you mean 'tiled'?"),
        (("adapert",), {"n_seeds": 1, "use_ensembles": True}, "--seeds is 1"),
        (("mean", "control"), {"use_ensembles": True}, "no seed changes mean, control"),
        (("mean",), {"refit": "tran"}, "no --refit 'tran'. Did you mean 'train'?"),
        (("mean",), {"refit": "train+validation", "split": "validation"}, "from those of --split validation"),
    ],
)
def test_a_wrong_plan_is_refused(
    plan_of: PlanOf, models: tuple[str, ...], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        plan_of(*models, **changes)
