import gc
import weakref
from typing import Any

import pytest
import ray
from ray._private import auto_init_hook

from adapert.errors import InputError
from adapert.study.execution.on_ray import started_ray

pytestmark = pytest.mark.slow


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_a_ray_of_the_callers_own_is_refused_and_no_collection_frees_its_objects_while_it_shuts_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Ray ends the process where another thread drops a reference then; any thread may run a collection.
    shutdown, seen = ray.shutdown, []

    def observe(**options: Any) -> None:
        seen.append((garbage() is None, gc.isenabled()))
        shutdown(**options)

    monkeypatch.setattr(ray, "shutdown", observe)
    with started_ray():
        assert not auto_init_hook.enable_auto_connect  # a late call starts no second Ray
        with pytest.raises(InputError, match="this process already has one"), started_ray():
            pass
        assert ray.get(ray.put(1)) == 1
        garbage = weakref.ref(Cycle())
    assert auto_init_hook.enable_auto_connect
    assert seen == [(True, False)]
    assert gc.isenabled()
