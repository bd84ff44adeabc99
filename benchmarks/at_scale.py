"""Seconds of the commands that read results, in a workspace of 20 studies, one of them of 1,000 trials."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from adapert.study.plan.study import Design, FixedRung, Search, Study
from adapert.workspace.launch import build_base
from benchmarks.kills import prepare_small
from benchmarks.measurement import Measurement, seconds_of
from benchmarks.scheduling import run_study
from search_spaces.adapert import SPACE

N_TRIALS = 1000
N_STUDIES = 20
SMALL = {"model.structural_size": 8, "model.latent_size": 8, "model.hidden_size": 8, "training.max_epochs": 2}
COMMANDS = {
    "ls": (["ls"], 2.0),
    "status": (["status", "many"], 2.0),
    "pick": (["pick", "many", "--no-reevaluation", "--out", "best.yaml"], 5.0),
    "figures": (["figures", "many"], 5.0),
}
"""Name to words and target in seconds, Python's start and imports included."""


def measure(scratch: Path) -> Iterator[Measurement]:
    """Run all studies on Ray, each trial a small AdaPert of two epochs; then time the commands."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        workspace = folder / "runs"
        _, seconds, memory = fill(prepare_small(folder), workspace)
        yield Measurement(
            name="filled",
            value=memory[-1] / memory[N_TRIALS // 10],
            unit="times",
            target=1.1,
            note=f"driver: {memory[N_TRIALS // 10]:.0f} MB after {N_TRIALS // 10} trials, "
            f"{memory[-1]:.0f} MB after {N_TRIALS} ({seconds:.0f} s)",
        )
        for name, (words, target) in COMMANDS.items():
            command = [str(Path(sys.executable).with_name("adapert")), *words, "--workspace", str(workspace)]
            run = partial(subprocess.run, command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
            times = [seconds_of(run) for _ in range(3)]
            yield Measurement(
                name=name,
                value=min(times),
                unit="s",
                target=target,
                note=f"{N_STUDIES} studies, one of {N_TRIALS} trials; the best of 3 runs, of which the first "
                f"took {times[0]:.1f} s",
            )


def fill(data: Path, workspace: Path) -> tuple[object, float, list[float]]:
    """Run a search of many trials, and many small studies."""
    base = build_base(data, None, SMALL)
    for number in range(N_STUDIES - 1):
        plan = Design(kind="ablation", variants={"full": {}, "no_context": {"model.context": "constant"}})
        run_study(Study(name=f"small_{number:02d}", question="?", base=base, plan=plan), workspace)
    search = Search(space=SPACE, n_trials=N_TRIALS, sampler="random", first_rung=FixedRung(1))
    return run_study(Study(name="many", question="Which?", base=base, plan=search), workspace)
