"""Why a worker of Ray's could not go on with its trials."""

from ray.exceptions import OutOfMemoryError

from adapert.records import EndReason
from adapert.study.execution.memory import NoMemoryError

LOST = "Its worker was lost."


def describe_loss(error: BaseException) -> tuple[EndReason, str]:
    """Say why a worker could not go on: the reason of its trials' end, and a sentence."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, OutOfMemoryError):
        return EndReason.MEMORY, "The machine ran out of memory, and Ray ended its worker."
    if isinstance(cause, NoMemoryError):
        return EndReason.WORKER, str(cause)
    if type(cause).__module__.startswith("ray."):
        return EndReason.WORKER, LOST
    return EndReason.ERROR, f"{type(cause).__name__}: {cause}".strip().splitlines()[0]
