import gc
import re
import signal
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.executed import begin, execute
from ray._private import auto_init_hook

from adapert.errors import InputError
from adapert.records import TrialStatus
from adapert.study.execution.on_ray import one_ray, started_ray
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design

pytestmark = pytest.mark.slow

DESIGN = Design(kind="ablation", variants={"full": {}}, n_seeds=1)


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


def test_a_head_that_does_not_come_up_is_one_sentence_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = "The current node timed out during startup. This could happen because it is overloaded."

    def wait(*given: object) -> None:
        raise Exception(late)  # as Ray does after 30 s, of no other class

    before = set(psutil.Process().children(recursive=True))
    monkeypatch.setattr(ray._private.services, "get_node", wait)
    says = f"needs Ray to start on this machine, but it did not: {late}"
    with pytest.raises(InputError, match=re.escape(says)), started_ray():
        pass
    assert set(psutil.Process().children(recursive=True)) <= before
    assert not ray.is_initialized()


def test_studies_of_a_block_share_a_ray_which_is_started_again_where_it_died_and_ends_with_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, heads = tmp_path / "data", []
    write_prepared(build_tiny_dataset(), data)
    before = set(psutil.Process().children(recursive=True))
    with one_ray(), caplog.at_level("WARNING"), one_ray():
        assert not ray.is_initialized()
        for name in ("first", "second", "after_a_crash"):
            if name == "after_a_crash":
                for process in set(psutil.Process().children(recursive=True)) - before:
                    if process.name() in ("gcs_server", "raylet"):
                        process.kill()
            study = begin(tmp_path / name, data, DESIGN)
            (record,) = execute(study, Resources())[0].state.records.values()
            assert record.status == TrialStatus.FINISHED
            heads.append(ray.get_runtime_context().gcs_address)
    assert heads[0] == heads[1] != heads[2]
    assert "was lost between two studies. Another Ray is started." in caplog.text
    assert not ray.is_initialized()
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_studies_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    write_prepared(build_tiny_dataset(), tmp_path / "data")
    study = begin(tmp_path / "study", tmp_path / "data", DESIGN)
    before, usual = set(psutil.Process().children(recursive=True)), signal.getsignal(number)

    def run() -> None:
        with one_ray():
            execute(study, Resources())
            assert ray.is_initialized()
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run()
    assert not ray.is_initialized()
    assert set(psutil.Process().children(recursive=True)) <= before
    assert signal.getsignal(number) == usual
