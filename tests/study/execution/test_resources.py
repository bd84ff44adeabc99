import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, get_type_hints

import pytest
from fixtures.servers import free_port

from adapert.errors import InputError
from adapert.study.engine.events import UsedResources
from adapert.study.execution import resources
from adapert.study.execution.resources import (
    Resources,
    build_resources,
    restore_resources,
    usual_executor,
)

Machine = Callable[[int, int], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    def of(n_cpus: int, n_gpus: int) -> None:
        monkeypatch.setattr(resources, "count_cpus", lambda: n_cpus)
        monkeypatch.setattr(resources, "count_gpus", lambda: n_gpus)

    return of


@pytest.mark.parametrize(
    ("n_gpus", "asked", "device", "expected"),
    [
        (0, None, "auto", (0.0, "cpu")),
        (2, None, "auto", (1.0, "cuda")),
        (2, None, "cpu", (0.0, "cpu")),
        (2, 0.0, "auto", (0.0, "cpu")),
        (2, 0.25, "auto", (0.25, "cuda")),
        (1, None, "cuda", (1.0, "cuda")),
    ],
)
def test_a_trial_gets_a_gpu_where_there_is_one(
    machine: Machine, n_gpus: int, asked: float | None, device: str, expected: tuple[float, str]
) -> None:
    machine(8, n_gpus)
    found = build_resources(1, asked, None, device)
    assert (found.gpus_per_trial, found.device) == expected


@pytest.mark.parametrize(
    ("cpus_per_trial", "gpus_per_trial", "max_concurrent", "n_workers"),
    [(1, 0.0, None, 8), (3, 0.0, None, 2), (1, 0.0, 4, 4), (1, 0.25, None, 8), (1, 1.0, None, 2)],
)
def test_as_many_workers_run_as_fit(
    machine: Machine, cpus_per_trial: int, gpus_per_trial: float, max_concurrent: int | None, n_workers: int
) -> None:
    machine(8, 2)
    assert build_resources(cpus_per_trial, gpus_per_trial, max_concurrent, "auto").n_workers == n_workers


def test_more_than_the_machine_has_is_refused(machine: Machine) -> None:
    machine(2, 1)
    with pytest.raises(InputError, match=r"cpus-per-trial must be at most .* is 3 and this machine has 2"):
        build_resources(3, None, None, "auto")
    with pytest.raises(InputError, match=r"gpus-per-trial must be at most .* is 2 and this machine has 1"):
        build_resources(1, 2.0, None, "auto")


def test_cuda_without_a_gpu_is_refused(machine: Machine) -> None:
    machine(2, 0)
    with pytest.raises(InputError, match=r"--device cuda needs an NVIDIA GPU .* Give --device cpu"):
        build_resources(1, None, None, "cuda")


def test_a_part_of_several_gpus_is_refused(machine: Machine) -> None:
    machine(2, 4)
    with pytest.raises(InputError, match=r"whole number or a fraction of one GPU, but it is 1\.5\. Give 1"):
        build_resources(1, 1.5, None, "auto")


def test_a_cluster_s_nodes_are_not_looked_at_here(machine: Machine) -> None:
    machine(1, 0)
    found = build_resources(32, 2.0, None, "cuda", address="auto", ships_data=True)
    assert (found.cpus_per_trial, found.gpus_per_trial, found.device) == (32, 2.0, "cuda")
    assert found.ships_data


@pytest.mark.parametrize(
    ("cpus", "gpus", "cluster", "n"),
    [
        (2, 0.0, {"CPU": 9.0}, 4),
        (1, 0.25, {"CPU": 16.0, "GPU": 2.0}, 8),
        (1, 0.5, {"CPU": 3.0, "GPU": 2.0}, 3),
    ],
)
def test_as_many_trials_fit_as_their_scarcest_resource_allows(
    cpus: int, gpus: float, cluster: dict[str, float], n: int
) -> None:
    resources = Resources(cpus_per_trial=cpus, gpus_per_trial=gpus, address="auto")
    assert resources.count_fitting(cluster) == n


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_nothing_listens_is_refused(address: str) -> None:
    given = address.format(free_port())
    with pytest.raises(InputError, match=f"nothing answers at '{given}': Connection refused. Start one"):
        build_resources(1, None, None, "cpu", address=given)


def test_trials_on_a_gpu_find_no_place_where_there_is_none() -> None:
    assert Resources(gpus_per_trial=1.0, address="auto").count_fitting({"CPU": 8.0}) == 0


def test_what_a_study_had_is_kept_but_for_what_is_given(machine: Machine) -> None:
    machine(4, 2)
    had = {"cpus_per_trial": 2, "gpus_per_trial": 0.5, "device": "cuda", "max_failures": 7, "of_later": 1}
    found = restore_resources(had, {"cpus_per_trial": 3, "max_concurrent": None})
    assert (found.cpus_per_trial, found.gpus_per_trial, found.device) == (3, 0.5, "cuda")
    assert found.max_failures == 7


def test_another_device_does_not_keep_the_share_of_the_former(machine: Machine) -> None:
    machine(4, 0)
    found = restore_resources({"gpus_per_trial": 0.5, "device": "cuda"}, {"device": "cpu"})
    assert (found.gpus_per_trial, found.device) == (0.0, "cpu")


def test_a_ledger_records_every_resource() -> None:
    assert get_type_hints(UsedResources) == get_type_hints(Resources)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"gpus_per_trial": 0.25}, "--gpus-per-trial 0.25"),
        ({"gpus_per_trial": 2.0}, "--gpus-per-trial 2.0"),
        ({"max_concurrent": 2}, "--max-concurrent 2"),
        ({"ships_data": True, "address": "auto"}, "--address and --ship-data"),
        ({"address": "auto", "max_concurrent": 4}, "--address and --max-concurrent 4"),
    ],
)
def test_what_only_ray_can_do_is_refused_without_it(
    machine: Machine, asked: dict[str, Any], named: str
) -> None:
    machine(8, 4)
    with pytest.raises(InputError, match=f"trains in this process, .* but {named} came with it. Leave out"):
        build_resources(executor="local", **asked)
    assert build_resources(usual="local", **asked).executor == "ray"


@pytest.mark.parametrize(
    "asked", [{}, {"max_concurrent": 1}, {"gpus_per_trial": 1.0}, {"device": "cpu"}, {"max_failures": 0}]
)
def test_this_process_runs_one_trial_at_a_time(machine: Machine, asked: dict[str, Any]) -> None:
    machine(8, 4)
    found = build_resources(executor="local", **asked)
    assert (found.executor, found.n_workers) == ("local", 1)
    assert build_resources(usual="local", **asked) == found


@pytest.mark.parametrize("slots", [0, -2, 2.5, "four", True])
def test_a_number_of_slots_that_is_none_is_refused(slots: Any) -> None:
    with pytest.raises(InputError, match="slots must be a whole number from 1, or 'auto', but it is"):
        Resources(executor="local", slots=slots)


def test_slots_are_of_this_process_or_of_each_worker(machine: Machine) -> None:
    machine(4, 0)
    found = build_resources(slots=8)
    assert (found.executor, found.n_workers) == ("local", 1)
    for asked, n_workers in (({"executor": "ray"}, 4), ({"max_concurrent": 2}, 2)):
        on_ray = build_resources(slots=8, **asked)
        assert (on_ray.executor, on_ray.slots, on_ray.n_workers) == ("ray", 8, n_workers)
    kept = restore_resources({"executor": "local", "slots": 8}, {"executor": None})
    moved = restore_resources({"executor": "local", "slots": 8}, {"executor": "ray"})
    assert (kept.slots, moved.executor, moved.slots) == (8, "ray", 8)


@pytest.mark.parametrize(
    ("n_gpus", "asked", "slots"),
    [
        (0, {}, 1),
        (0, {"slots": "auto"}, 1),  # a core is busy with one trial
        (1, {}, "auto"),
        (1, {"device": "cpu"}, 1),
        (1, {"executor": "local"}, "auto"),
        (1, {"gpus_per_trial": 0.25}, 1),  # a trial in each share
        (1, {"gpus_per_trial": 0.25, "slots": "auto"}, "auto"),
        (1, {"gpus_per_trial": 0.25, "slots": 4}, 4),
        (1, {"slots": 1}, 1),
    ],
)
def test_a_whole_gpu_is_filled_by_what_a_trial_takes(
    machine: Machine, n_gpus: int, asked: dict[str, Any], slots: Any
) -> None:
    machine(4, n_gpus)
    assert build_resources(**asked).slots == slots


def test_an_executor_that_does_not_exist_is_refused_with_the_nearest(machine: Machine) -> None:
    machine(2, 0)
    with pytest.raises(InputError, match=r"one of ray, local, but it is 'locally'. Did you mean 'local'"):
        build_resources(executor="locally")


@pytest.mark.parametrize(
    ("recipe", "n_trials", "executor"),
    [("single", 1, "local"), ("", 1, "local"), ("quickstart", 4, "local"), ("single", 3, "ray")],
)
def test_a_short_study_needs_no_ray(recipe: str, n_trials: int, executor: str) -> None:
    assert usual_executor(recipe, n_trials) == executor


def test_a_study_keeps_its_executor_unless_it_is_given_another(machine: Machine) -> None:
    machine(4, 2)
    here = asdict(build_resources(2, executor="local", device="cuda"))
    assert restore_resources(here, {"max_failures": 1}).executor == "local"
    on_ray = restore_resources(here, {"executor": "ray", "max_concurrent": 2})
    assert (on_ray.executor, on_ray.cpus_per_trial, on_ray.device) == ("ray", 2, "cuda")
    assert restore_resources(asdict(on_ray), {"executor": "ray"}) == on_ray
    # Without what only Ray can do.
    fraction = asdict(on_ray) | {"gpus_per_trial": 0.25, "ships_data": True}
    again = restore_resources(fraction, {"executor": "local"})
    assert (again.executor, again.gpus_per_trial, again.max_concurrent) == ("local", 1.0, None)
    assert again.ships_data is False


def test_data_are_shipped_to_a_cluster_alone(machine: Machine) -> None:
    machine(4, 0)
    with pytest.raises(InputError, match=r"no --address names one\. Give its --address, or leave"):
        build_resources(ships_data=True)
    shipped = asdict(build_resources(ships_data=True, address="auto"))
    assert restore_resources(shipped, {"cpus_per_trial": 2}).ships_data
    assert not restore_resources(shipped, {"address": ""}).ships_data


def test_what_only_ray_can_do_is_refused_of_a_study_that_runs_without_it(machine: Machine) -> None:
    machine(4, 0)
    with pytest.raises(InputError, match="but --max-concurrent 2 came with it"):
        restore_resources({"executor": "local"}, {"max_concurrent": 2})


@pytest.mark.parametrize("share", [math.nan, math.inf, -1.0])
def test_a_share_of_gpus_that_is_no_number_is_refused(machine: Machine, share: float) -> None:
    machine(4, 1)
    with pytest.raises(InputError, match=r"gpus.per.trial must be (a number from 0|at most)"):
        build_resources(gpus_per_trial=share, device="cuda")


@pytest.mark.parametrize(
    ("device", "share", "sentence"),
    [
        ("cuda", 0.0, "--device cuda needs a share of a GPU, but --gpus-per-trial is 0"),
        ("cpu", 0.5, r"--device cpu leaves GPUs unused, but --gpus-per-trial is 0\.5"),
    ],
)
def test_a_device_and_a_share_of_gpus_that_contradict_each_other_are_refused(
    machine: Machine, device: str, share: float, sentence: str
) -> None:
    machine(4, 1)
    with pytest.raises(InputError, match=sentence):
        build_resources(gpus_per_trial=share, device=device)


def test_a_study_of_cpus_is_given_a_share_of_a_gpu_together_with_the_device(machine: Machine) -> None:
    machine(4, 1)
    had = asdict(build_resources(device="cpu"))
    with pytest.raises(InputError, match=r"--gpus-per-trial is 0\.5\. Give --device cuda"):
        restore_resources(had, {"gpus_per_trial": 0.5})
    found = restore_resources(had, {"gpus_per_trial": 0.5, "device": "cuda"})
    assert (found.device, found.gpus_per_trial) == ("cuda", 0.5)
