"""A study's progress in a real kernel: one display, drawn again in place."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.trained import Trained

ROOT = Path(__file__).parents[2]

manager = pytest.importorskip("jupyter_client.manager", reason="Kernels need the extra 'notebooks'.")

pytestmark = pytest.mark.slow

LAUNCH = """
import adapert
from rich.console import Console

small = {{"model.n_heads": 1, "model.decoder_layers": 1, "training.max_epochs": 4}}
adapert.launch(
    "search",
    {data!r},
    name="tried",
    changes=small,
    budget={{"n_trials": 4, "min_epochs": 1}},
    executor="local",
    console=Console(),
)
None
"""


class Cell:
    """What a kernel sends while it runs a cell."""

    def __init__(self, kernel: Any, client: Any, code: str, interrupt_after: str = "") -> None:
        self.shown: list[Any] = []
        self.streams: list[str] = []
        asked = client.execute(code, store_history=False)
        while True:
            message = client.get_iopub_msg(timeout=300)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                self.streams.append(content["text"])
            elif kind in ("display_data", "update_display_data", "error"):
                self.shown.append((kind, content))
                if interrupt_after and interrupt_after in str(content):
                    kernel.interrupt_kernel()
                    interrupt_after = ""
            elif kind == "status" and content["execution_state"] == "idle":
                return

    @property
    def last(self) -> str:
        return re.sub(r"<[^>]*>", " ", self.shown[-1][1]["data"]["text/html"])


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    started, client = manager.start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path), env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    yield started, client
    client.stop_channels()
    started.shutdown_kernel(now=True)


def test_a_study_is_one_display_drawn_again_in_place_and_goes_on_after_an_interrupt(
    kernel: tuple[Any, Any], trained: Trained
) -> None:
    launch = LAUNCH.format(data=str(trained.prepared))
    first = Cell(*kernel, launch, interrupt_after="best Pearson-delta")
    assert [kind for kind, _ in first.shown] == ["display_data"] + ["update_display_data"] * (
        len(first.shown) - 1
    )
    assert len({content["transient"]["display_id"] for _, content in first.shown}) == 1
    assert first.streams == []
    assert "running" not in first.last
    assert "It was interrupted." in first.last
    assert "Run the cell again, and it continues where it was." in first.last

    second = Cell(*kernel, launch)
    assert [kind for kind, _ in second.shown].count("display_data") == 1
    assert "4/4 trials" in second.last
    assert "best Pearson-delta" in second.last
    assert "lambda_non" in second.last
    assert "interrupted" not in second.last
