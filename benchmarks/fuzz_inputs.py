"""Sound inputs of every kind that is read, small; what damages each kind, and what reads it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from benchmarks.fuzz_mutations import BYTES, H5, JSON, NPY, NPZ, PARQUET, TENSORS, TEXT, YAML, Mutation

SMALL = {"structural_size": 4, "latent_size": 4, "hidden_size": 4, "score_size": 4}

RECIPE = """\
from adapert.study.plan.study import Design, Study


def study(base):
    return Study(name="own", question="Which?", base=base, plan=Design(kind="ablation", variants={"a": {}}))
"""

RECIPES = (
    "def study(base:",
    "\x00",
    "raise RuntimeError('no\\nsecond line')",
    "raise SystemExit(0)",
    "raise KeyError",
    "import nowhere",
    "from os import nothing",
    "study = 5",
    "study = int",
    "x = 1",
    "def study(): ...",
    "def study(base): return 1",
    "def study(base): return None",
    "def study(base): yield base",
    "async def study(base): return base",
    "class study: pass",
    "def study(base): raise ValueError",
    "def study(base): return study(base)",
    "def study(base): raise SystemExit('bye')",
    "def study(base): raise MemoryError",
    "def study(base): assert False",
    "def study(base): return base.with_changes({1: 2})",
    "def study(base): return base.with_changes({'model.tau': []})",
    "def study(base): return base.with_changes({'model.hidden_size': 10**12})",
    "def study(base): return base.with_changes({'training.max_epochs': 10**400})",
    "(" * 500,
    "x = " + "-" * 100_000 + "1",
)

NAMED = (
    *("None", "5", "b'x'", "''", "'..'", "'a/b'", "'x' * 10**6", "'\\x00'", "['a']", "'é'", "'[/x]'"),
    *("float('nan')", "{}", "'own\\n'", "'٣'"),
)
"""Names of a study."""

PLANS = (
    *(
        "None",
        "5",
        "{}",
        "Design",
        "Search(space={})",
        "Search(space=None)",
        "Search(space={'model.tau': 1})",
    ),
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, n_trials=1.5)",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, n_trials=float('inf'))",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, n_trials='3')",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, n_trials=10**12)",
    "Search(space={'model.tau': FloatDistribution(0.1, 1, step=1e-9)}, sampler='grid')",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, seed=-1)",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, seed=10**30)",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, sampler=['tpe'])",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, initial_points=5)",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, initial_points=[None])",
    "Search(space={'model.tau': FloatDistribution(0.1, 1)}, initial_points=[{'model.tau': 'x'}])",
    "Search(space={5: FloatDistribution(0.1, 1)})",
    "Search(space={'model.top': FloatDistribution(0.1, 1)})",
    "Search(space={'model.hidden_size': IntDistribution(1, 10**15)})",
    "Search(space={'model.hidden_size': IntDistribution(1, 10**9)}, sampler='grid')",
    "Search(space={'model.tau': CategoricalDistribution([float('nan')])})",
    "Search(space={'model.tau': CategoricalDistribution([1.0, 'x'])})",
    "Search(space={'model.tau': Conditional('model.x', (1,), FloatDistribution(0.1, 1))})",
    "Search(space={'model.tau': Conditional(5, 5, 5)})",
    "Design(kind='ablation', variants=None)",
    "Design(kind='ablation', variants=['a'])",
    "Design(kind='ablation', variants={'a': None})",
    "Design(kind='ablation', variants={'a': 5})",
    "Design(kind='ablation', variants={5: {}})",
    "Design(kind='ablation', variants={'=1+1': {}, '[/x]': {}, '': {}})",
    "Design(kind='ablation', variants={'x' * 10**6: {}})",
    "Design(kind='ablation', variants={'a': {'model.tau': object()}})",
    "Design(kind='ablation', variants={'a': {5: 5}})",
    "Design(kind='ablation', variants={'a': {}}, n_seeds='x')",
    "Design(kind='ablation', variants={'a': {}}, n_seeds=10**15)",
    "Design(kind='ablation', variants={'a': {}}, n_seeds_of={'b': 3})",
    "Design(kind='ablation', variants={'a': {}}, n_seeds_of=5)",
    "Design(kind='ablation', variants={'a': {}}, first_seed=-3)",
    "Design(kind=5, variants={'a': {}})",
    "AblationPath(start={})",
    "AblationPath(start=None)",
    "AblationPath(start={'model.tau': 'x'})",
    "AblationPath(start={'model.tau': 0.5}, n_seeds=0)",
)


def change_recipe(file: Path, generator: np.random.Generator) -> None:
    """Write a recipe that does not run, or gives an odd study."""
    way = generator.random()
    if way < 0.4:
        file.write_text(RECIPES[int(generator.integers(len(RECIPES)))])
        return
    name, plan = "'own'", "Design(kind='ablation', variants={'a': {}})"
    if way < 0.55:
        name = NAMED[int(generator.integers(len(NAMED)))]
    else:
        plan = PLANS[int(generator.integers(len(PLANS)))]
    file.write_text(
        "from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution\n"
        "from adapert.study.plan.space import Conditional\n"
        "from adapert.study.plan.study import AblationPath, Design, Search, Study\n\n\n"
        f"def study(base):\n    return Study(name={name}, question='Which?', base=base, plan={plan})\n"
    )


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        files: Patterns of the files to damage, below the folder of sound inputs.
        ways: What damages them.
        read: Runs what reads them, in the folder of the damaged copy; raises as the product does.
    """

    files: tuple[str, ...]
    ways: tuple[Mutation, ...]
    read: Callable[[], None]


def run_command(*words: str) -> None:
    """Run the `adapert` command in this process; raises SystemExit with its status."""
    from adapert import cli
    from adapert.cli import entry

    entry.app = cli.app  # which `run_reader` may have put aside
    sys.argv = ["adapert", *words]
    entry.main()


def run_reader(reader: Callable[[], object]) -> None:
    """Run a function as the command runs its own: the same errors are a sentence and status 2."""
    from adapert.cli import entry

    def call(**_: object) -> int:
        reader()
        return 0

    entry.app = call  # type: ignore[assignment]  # all that `main` does with it is to call it
    entry.main()


def _prepare(cells: str = "cells.h5ad", *more: str) -> None:
    files = {"--network": "network.tsv.gz", "--embeddings": "text.npz"}
    missing = [(option, file) for option, file in files.items() if option not in more]
    words = [*more, *chain.from_iterable(missing)]
    run_command("prepare", cells, *words, "--split-fractions", "0.5", "0.25", "0.25", "--out", "out")


def _read_prepared() -> None:
    from adapert.doctor.findings import State
    from adapert.doctor.workspace import check_data
    from adapert.errors import InputError

    def check() -> None:
        finding = check_data(Path("prepared"))
        if finding.state != State.OK:
            raise InputError(finding.sentence)

    try:
        run_reader(check)
    except SystemExit as ended:
        if ended.code:
            raise
    # What doctor finds sound must carry a fit and its evaluation.
    run_command(
        *("evaluate", "config.yaml", "--data", "prepared", "--models", "adapert,mean", "--seeds", "1"),
        *("--max-epochs", "1", "--set", "data.control=cell", "--device", "cpu", "--out", "out"),
        *("--workspace", "work", "--again"),
    )


def _read_bundle() -> None:
    def predict() -> None:
        from adapert.prediction.bundle import read_bundle
        from adapert.prediction.predictions import predict_bundle

        bundle = read_bundle(Path("bundle"))
        predictions = predict_bundle(bundle, [str(bundle.shared.node_names[0])])
        if not np.isfinite(predictions.deltas.to_numpy()).all():
            raise AssertionError("a bundle that was accepted predicts no numbers")

    run_reader(predict)


def _read_requests() -> None:
    from adapert.study.engine.requests import read_requests

    run_reader(lambda: read_requests(Path("runs/studies/own")))


def _launch(*words: str) -> None:
    run_command("launch", *words, "--data", "prepared", "--dry-run", "--device", "cpu")


KINDS: Mapping[str, Kind] = {
    "cells": Kind(("cells.h5ad",), (*BYTES, *H5, *H5), _prepare),
    "responses": Kind(
        ("responses.h5ad",), (*BYTES, *H5, *H5), lambda: _prepare("responses.h5ad", "--kind", "responses")
    ),
    "npz": Kind(("text.npz",), (*BYTES, *NPZ, *NPZ, *NPZ), _prepare),
    "parquet": Kind(
        ("text.parquet",), (*BYTES, *PARQUET), lambda: _prepare("cells.h5ad", "--embeddings", "text.parquet")
    ),
    "network": Kind(
        ("network.tsv.gz", "network.tsv"),
        (*BYTES, *TEXT),
        lambda: _prepare("cells.h5ad", "--network", _first("network.tsv", "network.tsv.gz")),
    ),
    "gmt": Kind(
        ("sets.gmt",),
        (*BYTES, *TEXT),
        lambda: run_command(
            *("figures", "--evaluation", "evaluation", "--pathways", "sets.gmt"),
            *("--only", "figure_9_pathways", "--out", "out"),
        ),
    ),
    "aliases": Kind(
        ("aliases.tsv",), (*BYTES, *TEXT), lambda: _prepare("cells.h5ad", "--aliases", "aliases.tsv")
    ),
    "split file": Kind(
        ("split.tsv", "split.json"),
        (*BYTES, *TEXT, *JSON),
        lambda: _prepare("cells.h5ad", "--split-file", _first("split.json", "split.tsv")),
    ),
    "config": Kind(
        ("config.yaml",), (*BYTES, *YAML, *YAML), lambda: _launch("quickstart", "--config", "config.yaml")
    ),
    "recipe": Kind(("recipe.py",), (*[change_recipe] * 12, *BYTES[:3]), lambda: _launch("recipe.py")),
    "prepared": Kind(("prepared/**/*.npy", "prepared/manifest.json"), (*BYTES, *NPY, *NPY), _read_prepared),
    "weights": Kind(("bundle/*.safetensors",), (*BYTES, *TENSORS, *TENSORS), _read_bundle),
    "bundle": Kind(
        ("bundle/bundle.json", "bundle/config.yaml", "bundle/shared/*.npy"), (*BYTES, *NPY), _read_bundle
    ),
    "ledger": Kind(
        ("runs/studies/own/ledger.jsonl",),
        (*BYTES, *JSON, *JSON),
        lambda: run_command("status", "own", "--workspace", "runs"),
    ),
    "requests": Kind(("runs/studies/own/requests/*.json",), (*BYTES, *JSON, *JSON), _read_requests),
}
"""Name to kind."""

FORMATS: Mapping[str, tuple[Mutation, ...]] = {".json": JSON, ".yaml": YAML}
"""Ways that belong to a file's form, where a kind's files are of several."""


def _first(*names: str) -> str:
    """The form that the case damaged: the others were removed."""
    return next(name for name in names if Path(name).exists())


def damage(kind: str, folder: Path, generator: np.random.Generator) -> str:
    """Damage one of a kind's files, and remove the others that could be read in its place.

    Returns:
        File and way, in words.
    """
    files = sorted(path for pattern in KINDS[kind].files for path in folder.glob(pattern))
    file = files[int(generator.integers(len(files)))]
    ways = KINDS[kind].ways
    if file.suffix in FORMATS:
        ways = (*BYTES, *FORMATS[file.suffix], *FORMATS[file.suffix])
    elif file.suffix == ".tsv":
        ways = (*BYTES, *TEXT)
    way = ways[int(generator.integers(len(ways)))]
    way(file, generator)
    if kind in ("network", "split file"):
        for other in files:
            if other != file:
                other.unlink()
    return f"{file.relative_to(folder)}: {way.__name__}"


def copy_inputs(sound: Path, folder: Path, kind: str) -> None:
    """Copy what a kind is read with; links for the other files."""
    tops = {pattern.split("/")[0] for pattern in KINDS[kind].files}
    for path in sound.iterdir():
        if path.name not in tops:
            os.symlink(path, folder / path.name)
        elif path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy(path, folder / path.name)


def write_sound(folder: Path) -> None:
    """Write one sound input of every kind."""
    from adapert.config import Config, write_config
    from adapert.data.prepared import read_prepared
    from adapert.data.simulate import simulate

    made = folder / "made"
    simulate(made, n_perturbations=24, n_genes=40, cells_per_perturbation=14, n_controls=60, n_batches=2)
    for name in ("cells.h5ad", "network.tsv.gz", "text.npz"):
        shutil.move(made / name, folder / name)
    shutil.rmtree(made)
    os.chdir(folder)
    with np.load("text.npz") as text:
        symbols, vectors = text["symbols"], text["embedding"]
    _write_tables(folder, symbols, vectors)
    _require_success(lambda: _prepare("cells.h5ad", "--effect-size-groups", "tertiles"))
    os.rename("out", "prepared")
    os.remove("prepared/checksums.json")  # which would tell every change before anything is read
    changes = {f"model.{name}": size for name, size in SMALL.items()}
    write_config(Config().with_changes(changes | {"training.max_epochs": 2}), folder / "config.yaml")
    (folder / "recipe.py").write_text(RECIPE)
    dataset = read_prepared(folder / "prepared", ("train", "validation", "test"))
    names = {part: dataset.splits[part].table.perturbations.tolist() for part in dataset.splits}
    (folder / "split.json").write_text(json.dumps(names))
    (folder / "split.tsv").write_text(
        "\n".join(f"{name}\t{part}" for part, some in names.items() for name in some)
    )
    _write_responses(folder)
    write_bundle_of(folder)
    _write_study(folder)
    _require_success(
        lambda: run_command(
            *("evaluate", "config.yaml", "--data", "prepared", "--models", "mean,additive", "--seeds", "1"),
            *("--split", "validation", "--out", "evaluation", "--device", "cpu"),
        )
    )


def _require_success(command: Callable[[], None]) -> None:
    try:
        command()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError("a sound input was refused") from ended


def _write_tables(folder: Path, symbols: np.ndarray, vectors: np.ndarray) -> None:
    import gzip

    import pandas as pd

    frame = pd.DataFrame(vectors.astype(np.float32), columns=[f"v{i}" for i in range(vectors.shape[1])])
    frame.insert(0, "gene", symbols.astype(object))
    frame.to_parquet(folder / "text.parquet", index=False)
    (folder / "network.tsv").write_bytes(gzip.decompress((folder / "network.tsv.gz").read_bytes()))
    (folder / "aliases.tsv").write_text("\n".join(f"{name}\tOLD{name}" for name in symbols[:10]) + "\n")
    sets = [["SET_" + str(n), "https://x", *symbols[n::2][:30]] for n in range(2)]
    (folder / "sets.gmt").write_text("\n".join("\t".join(line) for line in sets) + "\n")


def _write_responses(folder: Path) -> None:
    import anndata
    import pandas as pd

    with np.load(folder / "text.npz") as text:
        genes = text["symbols"][:30].astype(str)
    delta = np.random.default_rng(0).normal(0, 1, (20, 30)).astype(np.float32)
    table = anndata.AnnData(
        delta, obs=pd.DataFrame({"n_cells": 20}, index=genes[:20]), var=pd.DataFrame(index=genes)
    )
    table.layers["significant"] = (np.abs(delta) > 1).astype(np.int8)
    table.write_h5ad(folder / "responses.h5ad")


def write_bundle_of(folder: Path) -> None:
    """Write the bundle of two untrained models of a folder's config and prepared data set."""
    import torch

    from adapert.config import read_config
    from adapert.data.prepared import read_prepared
    from adapert.prediction.bundle import Bundle, Member, write_bundle
    from adapert.training.state import Training

    config, dataset = read_config(folder / "config.yaml"), read_prepared(folder / "prepared")
    states = [Training(config, dataset, seed, torch.device("cpu")).network.state_dict() for seed in (0, 1)]
    arrays = [{name: tensor.numpy() for name, tensor in state.items()} for state in states]
    members = [Member(f"{seed}abc", seed, weights) for seed, weights in enumerate(arrays)]
    write_bundle(Bundle(config, dataset.shared, members), folder / "bundle")


def _write_study(folder: Path) -> None:
    from adapert.config import read_config
    from adapert.data.manifest import read_manifest
    from adapert.records import OBJECTIVE, EndReason, TrialStatus
    from adapert.study.engine.events import (
        EpochReported,
        SessionClosed,
        SessionOpened,
        TrialAsked,
        TrialEnded,
        TrialStarted,
    )
    from adapert.study.engine.ledger import LEDGER_FILE, Ledger
    from adapert.study.engine.requests import write_request
    from adapert.study.plan.recipes import build_study
    from adapert.testing import define_study

    fingerprint = read_manifest(folder / "prepared").fingerprint
    base = read_config(folder / "config.yaml").with_changes({"data.fingerprint": fingerprint})
    study = build_study(str(folder / "recipe.py"), base)
    place = folder / "runs" / "studies" / "own"
    ledger = Ledger(place / LEDGER_FILE)
    ledger.append(define_study(study, "recipe.py", git_commit="a", packages="b"))
    ledger.append(SessionOpened(pid=1, host="here"))
    for number, trial in enumerate(("001", "002", "003")):
        asked = TrialAsked(
            trial=trial,
            number=number,
            variant="a",
            seed=number,
            changes={},
            suggested={},
            config_digest=base.digest(),
        )
        ledger.append(asked)
        ledger.append(TrialStarted(trial=trial))
        for epoch in (1, 2):
            metrics = {"epoch": epoch, OBJECTIVE: 0.1 * epoch}
            reported = EpochReported(
                trial=trial, epoch=epoch, host="here", is_over=epoch == 2, metrics=metrics
            )
            ledger.append(reported)
        ended = TrialEnded(trial=trial, status=TrialStatus.FINISHED, reason=EndReason.EPOCHS, message="")
        ledger.append(ended)
    ledger.append(SessionClosed(status=TrialStatus.FINISHED, message=""))
    ledger.close()
    write_request(place, "stop", trial="001")
    write_request(place, "extend", n_trials=2, n_seeds=0)
    for number, file in enumerate(sorted((place / "requests").iterdir(), key=os.path.getsize)):
        file.rename(file.with_name(f"{number}.json"))  # the same case damages the same one
