"""Checks what a study needs of this machine, and says how to fix what is wrong.

Nothing is changed: no folder is made, no database migrated.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from adapert.doctor.findings import Finding, problem
from adapert.doctor.installed import check_packages, check_python
from adapert.doctor.machine import check_cores, check_gpus, check_memory, check_ray, check_shared_memory
from adapert.doctor.workspace import check_data, check_disk, check_store, check_studies
from adapert.errors import InputError

Check = Callable[[Path | None, Path], Finding]


def examine(
    data: Path | None, workspace: Path, checks: Mapping[str, Check] | None = None
) -> dict[str, Finding]:
    """Run every check; one that raises is a problem of its own.

    Args:
        data: Prepared data set; None leaves it unchecked.
        workspace: Workspace, which need not exist yet.
        checks: Subject to check; `CHECKS` if None.

    Returns:
        Subject to finding.
    """
    checks = CHECKS if checks is None else checks
    return {subject: _run(check, data, workspace) for subject, check in checks.items()}


def _run(check: Check, data: Path | None, workspace: Path) -> Finding:
    try:
        return check(data, workspace)
    except InputError as error:
        sentence = str(error)
    except OSError as error:
        place = error.filename or "a file or device"
        sentence = f"This user must be able to read '{place}', but cannot: {error.strerror or error}. "
        sentence += "Change its permissions, or name another place."
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        sentence = f"This could not be checked: {type(error).__name__}: {reason}"
        sentence = f"{sentence.rstrip('.')}. Fix that, or report it as a bug of adapert."
    return problem(sentence)


CHECKS: Mapping[str, Check] = {
    "Python": lambda _data, _workspace: check_python(),
    "packages": lambda _data, _workspace: check_packages(),
    "cores": lambda _data, _workspace: check_cores(),
    "memory": lambda _data, _workspace: check_memory(),
    "/dev/shm": lambda _data, _workspace: check_shared_memory(),
    "GPUs": lambda _data, _workspace: check_gpus(),
    "Ray": lambda _data, _workspace: check_ray(),
    "store": lambda _data, workspace: check_store(workspace),
    "disk": lambda _data, workspace: check_disk(workspace),
    "data": lambda data, _workspace: check_data(data),
    "studies": lambda _data, workspace: check_studies(workspace),
}
"""Subject of a finding to its check, in the order in which they are printed."""
