"""The files of deploy/ name commands, options and versions that exist, and the scripts do what they say."""

import os
import re
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
import typer
import yaml
from fixtures.narrowed import present
from packaging.requirements import Requirement
from packaging.version import Version

from adapert import __version__
from adapert.cli import app
from adapert.cli.entry import INTERRUPTED, RAY_LOST

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
YAML_FILES = sorted(DEPLOY.rglob("*.yaml"))
SCRIPTS = [DEPLOY / "launch_or_resume.sh", DEPLOY / "slurm" / "adapert.sbatch"]
COMMANDS = typer.main.get_group(app).commands


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def code_of(path: Path) -> list[str]:
    """The lines of a file that a shell runs, and what its prose and comments have in backticks."""
    text = path.read_text().replace("\\\n", " ")
    fence = re.compile(r"^```.*?$(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    code = "\n".join(fence.findall(text)) if path.suffix == ".md" else text
    return [
        *re.sub(r"(^|\s)#.*$", "", code, flags=re.MULTILINE).splitlines(),
        *re.findall(r"`([^`\n]+)`", fence.sub("", text)),
    ]


def commands_in(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Every `adapert COMMAND`, and every study that launch_or_resume.sh launches, with its options."""
    for line in code_of(path):
        for command, rest in re.findall(
            r"(?:^|exec|&&|['\"/])\s*(?:adapert +([a-z]+)\b|launch_or_resume\.sh\"? +\S+)([^|;&]*)", line
        ):
            yield command or "launch", re.findall(r"(?<=\s)--[a-z-]+", rest)


def written_commands() -> Iterator[tuple[str, str, list[str]]]:
    """Where a command is written, its name and its options."""
    suffixes = {".sh", ".sbatch", ".yaml"}
    paths = [path for path in sorted(DEPLOY.rglob("*")) if path.suffix in suffixes]
    for path in [*paths, ROOT / "docs" / "clusters.md"]:
        for command, options in commands_in(path):
            yield path.name, command, options


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_yaml_files_parse(path: Path) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)


def test_study_script_of_kuberay_parses() -> None:
    subprocess.run(
        ["bash", "-n"], input=documents("kuberay/rayjob.yaml")[0]["data"]["run.sh"], text=True, check=True
    )


@pytest.mark.parametrize(("file", "command", "options"), written_commands())
def test_written_commands_and_options_exist(file: str, command: str, options: list[str]) -> None:
    assert command in COMMANDS, file
    known = {name for parameter in COMMANDS[command].params for name in parameter.opts}
    assert set(options) <= known, file


def test_pages_and_files_name_the_main_commands() -> None:
    assert {"launch", "resume", "status", "stop"} <= {command for _, command, _ in written_commands()}


def test_cluster_file_passes_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(documents("ray_up/cluster.yaml")[0])
    validate_config(config)
    assert {name: node["max_workers"] for name, node in config["available_node_types"].items()} == {
        "head": 0,
        "gpu": 8,
    }


def test_cluster_file_sends_files_that_exist() -> None:
    sent = documents("ray_up/cluster.yaml")[0]["file_mounts"].values()
    here = [path for path in sent if not path.startswith("~") and path != "dist"]  # `pip wheel` makes dist
    assert here
    assert all((ROOT / path).is_file() for path in here)


def test_pods_of_the_ray_job_mount_the_same_volume_at_the_same_path() -> None:
    cluster = documents("kuberay/rayjob.yaml")[1]["spec"]["rayClusterSpec"]
    mounts = set()
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        claims = {
            v["name"]: v["persistentVolumeClaim"]["claimName"]
            for v in pod["volumes"]
            if v["name"] == "shared"
        }
        mounts |= {
            (claims[m["name"]], m["mountPath"])
            for m in pod["containers"][0]["volumeMounts"]
            if m["name"] in claims
        }
    assert mounts == {(documents("kuberay/pvc.yaml")[0]["metadata"]["name"], "/shared")}


def test_python_and_versions_agree_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split())
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    python = present(re.search(r"^FROM python:([\d.]+)-slim", dockerfile, flags=re.MULTILINE))[1]
    assert Version(python) in Requirement(f"python{project['requires-python']}").specifier
    assert f"--python {python} " in (DEPLOY / "ray_up" / "cluster.yaml").read_text()
    assert documents("kuberay/rayjob.yaml")[1]["spec"]["rayClusterSpec"]["rayVersion"] == constraints["ray"]
    for requirement in map(Requirement, project["dependencies"]):
        assert Version(constraints[requirement.name]) in requirement.specifier
    assert set(re.findall(r"adapert(?:-tracking)?:([\d.]+)", "".join(p.read_text() for p in YAML_FILES))) == {
        __version__
    }


def test_image_is_built_by_the_constraints_from_files_that_it_can_see() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    installs = re.findall(r"pip install (.*)", dockerfile)
    assert installs
    assert all(line.startswith("-c constraints.txt ") for line in installs)
    seen = re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), flags=re.MULTILINE)
    copied = [
        word
        for line in re.findall(r"^COPY (.*) \S+$", dockerfile, flags=re.MULTILINE)
        for word in line.split()
    ]
    assert set(copied) == set(seen)
    assert all((ROOT / path).exists() for path in copied)


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A folder of stand-ins that write down how they were called."""
    commands = tmp_path / "bin"
    commands.mkdir()
    stand_ins = {
        # Ends when Ray has been started twice, as it would need its nodes.
        "adapert": """
            until [ "$(grep -c '^ray start' "$CALLS")" -ge 2 ]; do sleep 0.01; done
            trap 'kill $!; exit ${STATUS_AFTER_SIGNAL:-130}' TERM
            echo "SigIgn $(grep SigIgn /proc/self/status)" >> "$CALLS"
            echo began
            if [ -n "$SLOW" ]; then sleep 9 >&- & wait; fi
            exit "${STATUS:-0}" """,
        "ray": '[ "$1" != start ] || exec sleep 10',
        "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
        "scontrol": '[ "$1" != show ] || printf "node1\\nnode2\\nnode3\\n"',
        "hostname": "echo 10.0.0.1 10.1.0.1",
    }
    for name, body in stand_ins.items():
        script = commands / name
        script.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "$CALLS"\n{body}\n')
        script.chmod(0o755)
    return {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLOW": "",
        "ENVIRONMENT": str(tmp_path),
        "WORKSPACE": str(tmp_path / "runs"),
        "DATA": "/shared/data",
        "OPTIONS": "--trials 4 --gpus-per-trial 0.25",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_JOB_ID": "17",
        "SLURM_CPUS_PER_TASK": "8",
    }


def calls(machine: dict[str, str], name: str) -> list[list[str]]:
    path = Path(machine["CALLS"])
    lines = path.read_text().splitlines() if path.exists() else []
    return [shlex.split(line)[1:] for line in lines if line.split()[0] == name]


def end_early(machine: dict[str, str], sign: Signals) -> int:
    script = DEPLOY / "slurm" / "adapert.sbatch"
    with subprocess.Popen(["bash", script], env=machine | {"SLOW": "1"}, stdout=subprocess.PIPE) as job:
        assert present(job.stdout).readline() == b"began\n"
        job.send_signal(sign)
        return job.wait(timeout=10)


def test_slurm_job_launches_over_all_its_nodes(machine: dict[str, str]) -> None:
    subprocess.run(["bash", DEPLOY / "slurm" / "adapert.sbatch"], env=machine, check=True)
    workspace = machine["WORKSPACE"]
    launch = f"launch search --data /shared/data {machine['OPTIONS']} --name search --workspace {workspace}"
    assert calls(machine, "adapert") == [f"{launch} --address 10.0.0.1:6379".split()]
    starts = [call for call in calls(machine, "srun") if "ray" in call]
    n_nodes = [next(word for word in call if word.startswith("--nodes=")) for call in starts]
    assert sorted(n_nodes) == ["--nodes=1", "--nodes=2"]
    assert calls(machine, "scontrol") == [["show", "hostnames", "node[1-3]"]]


def test_slurm_job_launches_with_options_that_exist(machine: dict[str, str]) -> None:
    del machine["OPTIONS"]
    subprocess.run(["bash", DEPLOY / "slurm" / "adapert.sbatch"], env=machine, check=True)
    options = {word for word in calls(machine, "adapert")[0] if word.startswith("--")}
    assert options <= {name for parameter in COMMANDS["launch"].params for name in parameter.opts}


def test_slurm_job_resumes_a_study_that_its_workspace_has(machine: dict[str, str]) -> None:
    ledger = Path(machine["WORKSPACE"]) / "studies" / "search" / "ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.touch()
    subprocess.run(["bash", DEPLOY / "slurm" / "adapert.sbatch"], env=machine, check=True)
    resume = f"resume search --workspace {machine['WORKSPACE']} --address 10.0.0.1:6379"
    assert calls(machine, "adapert") == [resume.split()]


def test_slurm_warning_ends_the_study_and_puts_the_job_back(machine: dict[str, str]) -> None:
    assert end_early(machine, signal.SIGUSR1) == 130
    assert calls(machine, "scontrol")[-1] == ["requeue", "17"]


def test_slurm_job_leaves_ctrl_c_to_the_command(machine: dict[str, str]) -> None:
    subprocess.run(["bash", DEPLOY / "slurm" / "adapert.sbatch"], env=machine, check=True)
    ((_, mask),) = calls(machine, "SigIgn")
    assert not int(mask, 16) & 1 << (signal.SIGINT - 1)


def test_slurm_cancellation_ends_the_study_for_good(machine: dict[str, str]) -> None:
    assert end_early(machine, signal.SIGTERM) == 130
    assert all(call[0] != "requeue" for call in calls(machine, "scontrol"))


@pytest.mark.parametrize(
    ("status", "n_restarts", "is_put_back"),
    [
        (75, 0, True),
        (75, 2, True),
        (75, 3, False),
        (0, 0, False),
        (1, 0, False),
        (2, 0, False),
        (130, 0, False),
    ],
)
def test_slurm_job_that_was_not_warned_is_put_back_where_ray_was_lost(
    machine: dict[str, str], status: int, n_restarts: int, is_put_back: bool
) -> None:
    ended = {"STATUS": str(status), "SLURM_RESTART_COUNT": str(n_restarts)}
    job = subprocess.run(["bash", DEPLOY / "slurm" / "adapert.sbatch"], env=machine | ended)
    assert job.returncode == status
    assert (calls(machine, "scontrol")[-1] == ["requeue", "17"]) == is_put_back


@pytest.mark.parametrize(("sign", "is_put_back"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_slurm_job_that_lost_ray_after_a_signal_does_what_the_signal_asks(
    machine: dict[str, str], sign: Signals, is_put_back: bool
) -> None:
    assert end_early(machine | {"STATUS_AFTER_SIGNAL": "75"}, sign) == 75
    assert (calls(machine, "scontrol")[-1] == ["requeue", "17"]) == is_put_back


@pytest.mark.parametrize(("status", "job"), [(0, 0), (1, 0), (2, 2), (75, 75), (130, 130)])
def test_ray_job_is_retried_where_the_study_is_worth_another_start(
    tmp_path: Path, status: int, job: int
) -> None:
    script = documents("kuberay/rayjob.yaml")[0]["data"]["run.sh"]
    stand_in = tmp_path / "launch_or_resume.sh"
    stand_in.write_text(f"#!/bin/sh\nexit {status}\n")
    stand_in.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(["bash", "-c", script], env=path).returncode == job


def test_scripts_and_pages_name_the_statuses_of_the_command() -> None:
    for path in (
        "deploy/slurm/adapert.sbatch",
        "deploy/kuberay/rayjob.yaml",
        "docs/clusters.md",
        "README.md",
    ):
        numbers = set(re.findall(r"\b\d+\b", (ROOT / path).read_text()))
        assert {str(RAY_LOST), str(INTERRUPTED)} <= numbers, path


@pytest.mark.parametrize("path", [*YAML_FILES, *SCRIPTS], ids=lambda path: path.name)
def test_no_address_has_a_password(path: Path) -> None:
    assert re.findall(r"://[^\s/@]*:[^\s/@]*@", path.read_text()) == []


def test_the_tracking_container_of_compose_reads_its_password_from_a_file(tmp_path: Path) -> None:
    service = documents("compose.yaml")[0]["services"]["mlflow"]
    assert service["secrets"] == ["postgres_password"]
    shell, flag, script, *rest = [word.replace("$$", "$") for word in service["entrypoint"]]
    secret = tmp_path / "secret"
    secret.write_text("p@ss word\n")
    (tmp_path / "mlflow").write_text('#!/bin/sh\necho "$PGPASSWORD|$*"\n')
    (tmp_path / "mlflow").chmod(0o755)
    said = subprocess.run(
        [shell, flag, script.replace("/run/secrets/postgres_password", str(secret)), *rest, "--port=5000"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == "p@ss word|server --port=5000\n"
