"""Each component of the model by itself."""

from adapert.config import Config
from adapert.study.plan.designs import add_one_in
from adapert.study.plan.study import Design, Study
from studies.leave_one_out import COMPONENTS


def study(base: Config) -> Study:
    """Seven variants, three seeds each."""
    return Study(
        name="add_one_in",
        question="What is each component worth without the others?",
        base=base,
        plan=Design(kind="ablation", variants=add_one_in(COMPONENTS)),
    )
