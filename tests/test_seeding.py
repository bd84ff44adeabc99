import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

from adapert.seeding import derive_seed, numpy_generator, seeded_initialisation, torch_generator

STREAMS = ("noise", "minibatches", "rewiring", "initialisation", "random_context", "shuffled_text")


def test_streams_and_seeds_differ() -> None:
    seeds = {derive_seed(seed, stream) for seed in range(200) for stream in STREAMS}
    assert len(seeds) == 200 * len(STREAMS)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seed_and_stream_never_run_together() -> None:
    assert derive_seed(1, "1/a") != derive_seed(11, "/a")
    assert derive_seed(1, "2") != derive_seed(12, "")


def test_draws_of_one_stream_never_shift_anothers() -> None:
    expected = numpy_generator(0, "minibatches").random(3)
    numpy_generator(0, "rewiring").random(100)
    torch.rand(1, generator=torch_generator(0, "noise"))
    assert np.array_equal(numpy_generator(0, "minibatches").random(3), expected)


def test_generators_of_a_stream_repeat_and_of_others_differ() -> None:
    assert np.array_equal(numpy_generator(5, "a").random(4), numpy_generator(5, "a").random(4))
    assert not np.array_equal(numpy_generator(5, "a").random(4), numpy_generator(5, "b").random(4))
    one, same, other = (torch.rand(4, generator=torch_generator(5, stream)) for stream in ("a", "a", "b"))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_streams_are_the_same_in_another_process() -> None:
    program = (
        "from adapert.seeding import *; print(derive_seed(3, 'noise'), numpy_generator(3, 'a').random())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "11", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(derive_seed(3, "noise")), str(numpy_generator(3, "a").random())]


def test_initialisation_restores_the_global_state() -> None:
    torch.manual_seed(42)
    expected = torch.rand(3)
    torch.manual_seed(42)
    with seeded_initialisation(0):
        torch.rand(10)
    assert torch.equal(torch.rand(3), expected)


def test_global_state_is_restored_after_an_error() -> None:
    def draw_and_fail() -> NoReturn:
        torch.rand(10)
        raise RuntimeError("in between")

    torch.manual_seed(42)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="in between"), seeded_initialisation(0):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_initialisation_follows_the_seed_and_not_the_global_state() -> None:
    weights = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 7)):
        torch.manual_seed(global_seed)
        with seeded_initialisation(seed):
            weights.append(torch.nn.Linear(3, 2).weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
