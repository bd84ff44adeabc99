from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from adapert.records import SYSTEM
from adapert.study.execution.memory import (
    LEAST_MEMORY,
    MOST_SLOTS,
    NoMemoryError,
    count_slots,
    fitting_slots,
    measure_use,
    take_share,
)

CPU = torch.device("cpu")


def free_memory(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(
        "adapert.study.execution.memory.psutil.virtual_memory", lambda: SimpleNamespace(available=n_bytes)
    )


def test_a_trial_starts_where_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free_memory(monkeypatch, LEAST_MEMORY)
    take_share(CPU, 0.0)


def test_a_trial_waits_where_others_use_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free_memory(monkeypatch, LEAST_MEMORY - 1)
    with pytest.raises(NoMemoryError, match=r"must find 0\.5 GiB of memory free, .* --max-concurrent"):
        take_share(CPU, 0.0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """A pretended GPU of 10 GiB, of which a part is free."""
    bounds = []

    def of(free_gigabytes: int, own_gigabytes: int = 0) -> list[object]:
        cuda = torch.cuda
        monkeypatch.setattr(cuda, "set_per_process_memory_fraction", lambda share, _: bounds.append(share))
        monkeypatch.setattr(cuda, "mem_get_info", lambda _: (free_gigabytes * 2**30, 10 * 2**30))
        monkeypatch.setattr(cuda, "memory_reserved", lambda _: own_gigabytes * 2**30)
        return bounds

    return of


@pytest.mark.parametrize(("share", "bound"), [(0.25, 0.25), (1.0, 1.0), (2.0, 1.0)])
def test_a_share_of_a_gpu_bounds_the_process(
    gpu: Callable[..., list[object]], share: float, bound: float
) -> None:
    bounds = gpu(free_gigabytes=10)
    take_share(torch.device("cuda"), share)
    assert bounds == [bound]


def test_a_share_that_others_use_is_waited_for(gpu: Callable[..., list[object]]) -> None:
    gpu(free_gigabytes=4)
    with pytest.raises(NoMemoryError, match=r"share of 0\.5 of the GPU's 10\.0 GiB free, but 4\.0 GiB are"):
        take_share(torch.device("cuda"), 0.5)


def test_what_a_reused_actor_holds_itself_is_its_share(gpu: Callable[..., list[object]]) -> None:
    gpu(free_gigabytes=1, own_gigabytes=4)
    take_share(torch.device("cuda"), 0.5)


def test_use_is_measured_under_the_names_that_are_tracked() -> None:
    use = measure_use(CPU)
    assert list(use) == list(SYSTEM[:2])
    assert 1 < use["system/process_memory_megabytes"] < 1e6
    assert use["system/cpu_utilization_percentage"] >= 0


@pytest.mark.parametrize(
    ("n_bytes", "n_available", "n_slots"),
    [
        (6, 100, 10),  # three fifths of what there is
        (7, 100, 8),
        (60, 100, 1),
        (61, 100, 1),  # a trial is tried, whatever it takes
        (1, 100, 60),
        (1, 1000, MOST_SLOTS),
        (0, 100, 60),
    ],
)
def test_slots_fill_a_part_of_the_memory(n_bytes: int, n_available: int, n_slots: int) -> None:
    assert fitting_slots(n_bytes, n_available) == n_slots


def test_the_first_trial_says_how_many_fit_into_the_share_of_the_gpu(
    gpu: Callable[..., list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(free_gigabytes=10)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 2**29)
    assert count_slots(torch.device("cuda"), 1.0) == 12
    assert count_slots(torch.device("cuda"), 2.0) == 12  # of two GPUs a trial uses one
    assert count_slots(torch.device("cuda"), 0.5) == 6
    assert count_slots(CPU, 1.0) == 1
