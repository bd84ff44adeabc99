"""A study as plain JSON, for its ledger, and back; and what has changed since it was written."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapert.config import build_config, packaged_models
from adapert.errors import InputError, first_line, name_some
from adapert.plugins import find_plugins
from adapert.study.plan.import_closure import digest_closure
from adapert.study.plan.plans import AblationPath, Design, Plan, Search
from adapert.study.plan.study import Study
from adapert.versions import installed_version

TRAINER = "adapert.study.execution.trainer"
"""The module that runs a trial: what it imports is what changes a trial's numbers."""

FINGERPRINTED_PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "numba", "optuna")
"""Packages whose versions change them too."""

PLANS: dict[str, type[Plan]] = {plan.form: plan for plan in (Search, Design, AblationPath)}


def describe_study(study: Study) -> dict[str, Any]:
    """Put a study's definition into JSON's types."""
    return {
        "name": study.name,
        "question": study.question,
        "plan_of": study.plan.form,
        "plan": study.plan.to_json(),
        "base": study.base.flat(),
    }


def restore_study(described: Mapping[str, Any]) -> Study:
    """Build the study that `describe_study` described.

    Raises:
        InputError: Something else is described, such as a field that this version does not know.
    """
    try:
        return Study(
            name=described["name"],
            question=described["question"],
            base=build_config(described["base"]),
            plan=PLANS[described["plan_of"]].from_json(described["plan"]),
        )
    except InputError:
        raise
    except Exception as error:  # whatever a foreign value makes a config, a plan or Optuna raise
        raise InputError(
            "A study is restored from what its ledger's first line says, but that line does not describe "
            f"one: {type(error).__name__}: {first_line(error)} Put back a copy of the ledger, or use the "
            "version of adapert that wrote it."
        ) from error


def describe_origin(study: Study) -> dict[str, Any]:
    """Fingerprint all that a trial's numbers come from besides its config: data, code, packages."""
    return {"data": study.base.data.fingerprint} | describe_code(study.plan.models(study.base))


def describe_code(models: Iterable[str]) -> dict[str, Any]:
    """Fingerprint the code and the packages that change the numbers of trials of some models."""
    modules = [TRAINER, *sorted(find_plugins()[name].module for name in {*models} & {*packaged_models()})]
    return {
        "code": {name: digest for module in modules for name, digest in digest_closure(module).items()},
        "versions": {package: installed_version(package) for package in FINGERPRINTED_PACKAGES},
    }


def find_changes(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two origins, each in a few words."""
    changes = []
    if recorded["data"] != now["data"]:
        changes.append(f"the data's fingerprint was {recorded['data']} and is {now['data']}")
    modules = sorted(recorded["code"].keys() | now["code"].keys())
    code = [name for name in modules if recorded["code"].get(name) != now["code"].get(name)]
    if code:
        changes.append(f"the code of {name_some(code)} has changed")
    for package, is_now in now["versions"].items():
        was = recorded["versions"].get(package, "unknown")
        if was != is_now:
            changes.append(f"{package} was {was} and is {is_now}")
    return changes
