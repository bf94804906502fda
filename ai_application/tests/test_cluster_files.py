"""The examples for clusters fit the scripts that they start, and themselves."""

import re
import shlex
import subprocess
from pathlib import Path

import yaml

from ai_application.command_line import training_parser

ROOT = Path(__file__).resolve().parents[2]


def arguments_of(shell_line):
    words = shlex.split(shell_line.replace("\\\n", " "))
    script = next(index for index, word in enumerate(words) if word.startswith("scripts/"))
    assert (ROOT / words[script]).exists()
    return training_parser("", epochs=1, model="m").parse_args(
        [word for word in words[script + 1 :] if word != "$resume"]
    )


def test_the_jobset_s_processes_meet_at_its_first_one():
    """By the names that JobSet gives: <jobset>-<job>-<number of the job>-<number of the pod>.<jobset>."""
    jobset = yaml.safe_load((ROOT / "docs/jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert replicated["replicas"] == 1
    (script,) = container["args"]
    arguments = arguments_of(script.replace('"$PROCESS"', "0"))
    name = jobset["metadata"]["name"]
    assert arguments.coordinator == f"{name}-{replicated['name']}-0-0.{name}:5000"
    assert arguments.processes == job["parallelism"] == job["completions"]
    assert '--process "$PROCESS"' in script
    assert [variable["name"] for variable in container["env"]] == ["PROCESS"]
    (mount,), (volume,) = container["volumeMounts"], job["template"]["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert arguments.run_dir.is_relative_to(mount["mountPath"])
    assert arguments.model.is_relative_to(mount["mountPath"])


def test_the_slurm_script_is_shell_and_starts_a_script_with_arguments_that_it_has():
    path = ROOT / "docs/train.slurm"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    arguments = arguments_of(text.splitlines()[-1])
    assert arguments.distributed
    assert f"ls {arguments.run_dir}/checkpoints" in text
    assert re.search(r"^#SBATCH --ntasks-per-node=1$", text, re.MULTILINE)
