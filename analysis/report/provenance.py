"""Sections on where numbers come from: data, code, packages, and the commands that make them again."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.comparison.summary import SCORED_MEAN, read_record
from adapert.comparison.test_access import Access, earlier_accesses
from adapert.config import Config, build_config, default_models, model_names
from adapert.data.manifest import Manifest, read_manifest
from adapert.data.units import describe_degs, describe_units
from adapert.errors import InputError, join_words
from adapert.results.find import open_study
from adapert.results.inputs import locate_data
from adapert.results.study import StudyResults
from adapert.selection.decide import count_retrained
from adapert.selection.rank import Pick
from adapert.statistics.pairs import ENSEMBLE_SUFFIX, model_of
from adapert.study.engine.state import StudyState
from adapert.study.plan.first_rung import name_first_rung
from adapert.study.plan.peers import PEERS, compared_variant
from adapert.study.plan.recipes import build_study, recipe_names
from adapert.study.plan.study import BUDGET_OPTIONS, Design
from adapert.tracking.provenance import DIRTY, git_commit, package_versions
from analysis.findings.pick import ReadPick
from analysis.leaderboard.load import find_search
from analysis.report import elements

MAX_SETS = 4
"""Fields that a command line sets before a file of settings reads better."""

_COUNTS = ("cells", "control_cells", "genes", "nodes", "edges", "batches")


def build_data(studies: Sequence[StudyResults], workspace: Path) -> list[elements.Part]:
    """Say which data the studies ran on, a list of facts for each data set.

    Args:
        studies: The studies.
        workspace: Their data are looked for where they were, and where they are if they moved along with it.
    """
    sets: dict[str, list[StudyResults]] = {}
    for study in studies:
        sets.setdefault(study.fingerprint or "unknown", []).append(study)
    parts: list[elements.Part] = []
    for fingerprint, members in sets.items():
        if len(sets) > 1:
            parts.append(elements.Heading(f"Data of {join_words([one.name for one in members])}"))
        paths = (path for member in members for path in member.frame.get("data.path", ())[:1])
        path = next(paths, "")
        parts += _describe_data(fingerprint, path and _locate(path, fingerprint, workspace))
    return parts


def _locate(path: str, fingerprint: str, workspace: Path) -> str:
    return str(locate_data(Path(path), fingerprint, workspace) or path)


def _describe_data(fingerprint: str, path: str) -> list[elements.Part]:
    facts = (("fingerprint", fingerprint), ("directory", path or "unknown"))
    if not path:
        return [elements.Facts(facts), elements.Paragraph("No trial recorded where these data are.")]
    try:
        manifest = read_manifest(Path(path))
    except InputError:
        missing = "The prepared directory is not there any more, so that only its fingerprint is known."
        return [elements.Facts(facts), elements.Paragraph(missing)]
    if manifest.fingerprint != fingerprint:
        other = f"The directory now holds other data, of fingerprint {manifest.fingerprint}."
        return [elements.Facts(facts), elements.Paragraph(other)]
    return [elements.Facts((*facts, *_manifest_facts(manifest)))]


def _manifest_facts(manifest: Manifest) -> list[tuple[str, str]]:
    counts, facts = manifest.counts, [("kind", str(manifest.kind))]
    if "perturbations" in counts:
        combinations = f", {counts['combinations']:,} of them combinations" if counts["combinations"] else ""
        facts.append(("perturbations", f"{counts['perturbations']:,}{combinations}"))
        splits = ", ".join(f"{counts[name]:,} {name}" for name in ("train", "validation", "test"))
        of_what = "" if manifest.choices.split_scheme == "perturbations" else " among combinations"
        facts.append(("splits", f"{splits}; drawn{of_what} with split seed {manifest.split_seed}"))
    facts += [(name.replace("_", " "), f"{counts[name]:,}") for name in _COUNTS if counts.get(name)]
    facts += [("units of deltas", describe_units(manifest)), ("DEGs", describe_degs(manifest))]
    facts += [
        (f"from ({name})", f"{source.file}, hash {source.hash}") for name, source in manifest.inputs.items()
    ]
    return facts


def build_versions(studies: Sequence[StudyResults]) -> elements.PageTable:
    """Lay out code and packages: of each study as it ran, and of this page as it was made."""
    rows = {r.name: _versions_row(r.git_commit, r.packages) for r in studies}
    here = _versions_row(git_commit(), package_versions())
    frame = pd.DataFrame(rows | {"this page": here})
    frame = frame.astype(object).where(frame.notna(), None).rename_axis("what").reset_index()
    return elements.build_page_table(
        frame,
        "Code and packages, by study",
        note="Uncommitted changes: whether tracked files differed from the git commit.",
    )


def _versions_row(commit: str, packages: str) -> dict[str, str]:
    is_known = commit not in ("", "unknown")
    changed = ("yes" if commit.endswith(DIRTY) else "no") if is_known else "unknown"
    row = {"git commit": commit.removesuffix(DIRTY)[:12] or "unknown", "uncommitted changes": changed}
    pairs = (entry.split(" ", 1) for entry in packages.split(", ") if " " in entry)
    return row | dict(pairs)


def build_commands(
    studies: Sequence[StudyResults], workspace: Path, picks: Sequence[ReadPick], accesses: Sequence[Access]
) -> list[elements.Part]:
    """Write the command lines that do all of it again: what was run, each after what it needs.

    Args:
        studies: Studies to run again.
        workspace: Folder of the studies.
        picks: Picks from the searches; one that was not made yet has no line.
        accesses: Accesses to the test split in the workspace.
    """
    searches = {study.name for study in studies if study.picked}
    # A pick that nobody made yet is only what `adapert pick` would name.
    made = {
        read.study: read.pick
        for read in picks
        if read.pick and (read.pick.reevaluated is not None or read.study in searches)
    }
    files = {pick.config.digest(): f"{name}_best.yaml" for name, pick in made.items()}
    lines: list[str] = []
    parts: list[elements.Part] = []
    for study in _in_order(studies, made):
        own, base = _study_lines(study, workspace, files)
        lines += own
        if (pick := made.get(study.name)) is not None:
            options = _reevaluation_words(pick, workspace)
            if pick.objective != "pearson_delta":
                options += ["--objective", pick.objective]
            options += ["--out", f"{study.name}_best.yaml"]
            lines.append(_line(workspace, "pick", study.name, *options))
        if base is not None:
            parts.append(elements.Code(f"What {study.name} starts from: {_base_file(study)}", base))
    evaluated, configs = _evaluate_lines(studies, workspace, accesses, files)
    names = [study.name for study in studies]
    lines += [*evaluated, _line(workspace, "report", *names, "--out", "report.html")]
    return [
        elements.Code(
            "Commands, in their order; a new --workspace leaves these results alone", "\n".join(lines)
        ),
        *parts,
        *configs,
    ]


def _in_order(studies: Sequence[StudyResults], made: Mapping[str, Pick]) -> list[StudyResults]:
    """Put each study after the one whose picked config it starts from, as far as the page is about that."""
    by_name = {study.name: study for study in studies}
    source = {pick.config.digest(): name for name, pick in made.items()}
    ordered: dict[str, StudyResults] = {}
    begun: set[str] = set()

    def place(study: StudyResults) -> None:
        # Two searches may each start from the other's pick, which has no first.
        if study.name in begun:
            return
        begun.add(study.name)
        needed = source.get(_base_of(study.state).digest(), "") if study.state else ""
        if needed in by_name:
            place(by_name[needed])
        ordered[study.name] = study

    for study in studies:
        place(study)
    return list(ordered.values())


def _study_lines(
    study: StudyResults, workspace: Path, files: Mapping[str, str]
) -> tuple[list[str], str | None]:
    """Write how a study was launched and extended, and the YAML of its base config where it needs a file."""
    if study.state is None:
        return [f"# {study.name}: its ledger is not in this workspace, so its recipe is not known"], None
    if study.design == "reevaluation":
        return [f"# {study.name}: 'adapert pick' ran it"], None
    recipe = study.state.definition.recipe
    if recipe == PEERS and study.design != PEERS:
        return [f"# {study.name}: 'adapert launch {PEERS}' ran it"], None
    if recipe not in (*recipe_names(), PEERS) and not recipe.endswith(".py"):
        return [f"# {study.name}: it was launched from Python, by no recipe"], None
    state = study.state
    launched, base = _launch_line(study, state, recipe, workspace, files)
    more = {"--trials": state.n_more_trials, "--seeds": state.n_more_seeds}
    extended = [_line(workspace, "extend", study.name, name, str(n)) for name, n in more.items() if n]
    return [launched, *extended], base


def _evaluate_lines(
    studies: Sequence[StudyResults], workspace: Path, accesses: Sequence[Access], files: Mapping[str, str]
) -> tuple[list[str], list[elements.Part]]:
    """Write how the studies' data were evaluated, and the configs that no pick writes."""
    fingerprints = {study.fingerprint for study in studies}
    every = [*accesses, *_read_validated(workspace)]
    of_data = [one for one in every if not {one.data_fingerprint, one.trained_on}.isdisjoint(fingerprints)]
    opened = sorted(of_data, key=lambda one: one.at)
    lines: list[str] = []
    configs: dict[str, elements.Part] = {}
    for number, access in enumerate(opened):
        named, usual = [], set(default_models())
        for digest, flat in [
            (access.config_digest, access.config),
            *((str(other["config_digest"]), other["config"]) for other in access.others),
        ]:
            config = build_config(flat)
            usual.add(config.model.name)
            named.append(file := files.get(digest) or f"evaluated_{digest}.yaml")
            if digest not in files:
                configs[file] = elements.Code(f"What was evaluated: {file}", config.to_yaml())
        words = ["--seeds", str(access.n_seeds), "--refit", access.refit]
        if set(access.models) != usual:
            words = ["--models", ",".join(access.models), *words]
        words += ["--ensemble"] if access.use_ensembles else []
        words += ["--on", access.on] if access.on else []
        if access not in accesses:
            words += ["--split", "validation"]
        elif any(
            earlier_accesses(
                [one for one in opened[:number] if one in accesses], study, access.data_fingerprint
            )
            for study in access.studies
        ):
            words += ["--again"]
        lines.append(_line(workspace, "evaluate", *named, *words))
    return lines, list(configs.values())


def _read_validated(workspace: Path) -> list[Access]:
    """Read how validation perturbations were evaluated, which no ledger counts."""
    found = []
    for file in sorted((workspace / "evaluations").glob("validation_*/evaluation.json")):
        try:
            record = read_record(file.parent)
            config, transfer = build_config(record["config"]), record.get("transfer") or {}
            variants = [row["variant"] for row in record["models"] if row["variant"] != SCORED_MEAN]
            found.append(
                Access(
                    at=record["opened"]["at"],
                    study="",
                    config_digest=config.digest(),
                    config=config.flat(),
                    git_commit=record["git_commit"],
                    data_fingerprint=record["opened"]["data_fingerprint"],
                    models=[name for name in model_names() if name in map(model_of, variants)],
                    n_seeds=max(map(variants.count, variants)),
                    refit=record["refit"],
                    folder=str(file.parent),
                    use_ensembles=any(name.endswith(ENSEMBLE_SUFFIX) for name in variants),
                    others=[
                        {"study": "", "config_digest": build_config(flat).digest(), "config": flat}
                        for flat in record.get("further_configs", {}).values()
                    ],
                    trained_on=transfer.get("trained_on", ""),
                    on=transfer.get("on", ""),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue  # unfinished or damaged: the page says so elsewhere
    return found


def _reevaluation_words(pick: Pick, workspace: Path) -> list[str]:
    """Options of the re-evaluation that a pick is based on, as far as its ledger is there."""
    if pick.reevaluated is None:
        return ["--no-reevaluation"]
    try:
        state = open_study(workspace, pick.reevaluation).state
    except InputError:  # it is gone, or damaged
        return []
    if state is None:
        return []
    plan = state.study.plan
    assert isinstance(plan, Design)
    n_configs, n_redraws = count_retrained(plan)
    options = {"top": n_configs, "fresh-seeds": plan.n_seeds, "redraws": n_redraws}
    return [word for name, n in options.items() for word in (f"--{name}", str(n))]


def _base_file(study: StudyResults) -> str:
    return f"{study.name}_base.yaml"


def _base_of(state: StudyState) -> Config:
    return build_config(state.definition.study["base"])


def _launch_line(
    study: StudyResults, state: StudyState, recipe: str, workspace: Path, files: Mapping[str, str]
) -> tuple[str, str | None]:
    """Write a study's launch, and the YAML of its base config where neither that is short nor a pick's."""
    defined, base = state.definition.study, _base_of(state)
    place, called, of_peers = _locate(base.data.path, study.fingerprint, workspace), study.name, list[str]()
    if recipe == PEERS:
        data, of_peers = _peers_words(study, defined["plan"]["variants"])
        if data:
            place, called = f"{data}={place}", called.removesuffix(f"_{data}")
    words = ["launch", recipe, "--data", place]
    default = Config().flat()
    changed = {
        name: value
        for name, value in base.flat().items()
        if value != default[name] and name not in ("data.path", "data.fingerprint")
    }
    picked = files.get(base.digest())
    is_long = picked is None and len(changed) > MAX_SETS
    if picked is not None:
        words += ["--config", picked]
    elif is_long:
        words += ["--config", _base_file(study)]
    else:
        for name, value in changed.items():
            text = json.dumps(value).strip('"')  # as --set reads it: JSON, which is YAML, with words unquoted
            words += ["--set", f"{name}={text}"]
    words += _budget_words(defined, recipe, base)
    words += [*of_peers, "--name", called]
    return _line(workspace, *words), base.to_yaml() if is_long else None


def _peers_words(study: StudyResults, variants: Sequence[str]) -> tuple[str, list[str]]:
    """Name the data set of a comparison of systems, and its options.

    These are which systems, on how many splits, and the budget of each search.
    """
    models = list(dict.fromkeys(map(model_of, variants)))
    first = compared_variant(next(iter(variants)))
    n_splits = sum(compared_variant(name) == first for name in variants)
    words = ["--models", ",".join(models), "--splits", str(n_splits)]
    for model in models:
        found = find_search(study, model)
        if found is not None and (state := found[0].state) is not None:
            return found[1], [*words, *_budget_words(state.definition.study, PEERS, _base_of(state))]
    return "", words


def _budget_words(study: dict[str, Any], recipe: str, base: Config) -> list[str]:
    """Options for what a plan has and its recipe, as it is now, has not."""
    plan = study["plan"]
    # Only recipes that come with the package are run here: a page about a study must not run users' code.
    own = build_study(recipe, base).plan.to_json() if recipe in recipe_names() else {}
    words = []
    for name, option in BUDGET_OPTIONS.items():
        if name not in plan or own.get(name) == plan[name]:
            continue
        if name == "cohort_size":  # an option without a value
            words += [option] if plan[name] else []
        elif name == "first_rung":
            words += [option, name_first_rung(plan[name])]
        else:
            words += [option, str(plan[name])]
    return words


def _line(workspace: Path, *words: str) -> str:
    return shlex.join(["adapert", *words, "--workspace", str(workspace)])
