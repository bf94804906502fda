"""The examples for clusters fit the scripts that they start, and themselves."""

import re
import shlex
import subprocess
from pathlib import Path

import yaml

from ai_application.configs import SHAPE_RECIPE
from ai_application.training_arguments import TrainingArguments

ROOT = Path(__file__).resolve().parents[2]


def arguments_of(shell_line):
    words = shlex.split(shell_line.replace("\\\n", " "))
    script = next(index for index, word in enumerate(words) if word.startswith("scripts/"))
    assert (ROOT / words[script]).exists()
    given = [word for word in words[script + 1 :] if word != "$resume"]
    return TrainingArguments("", {"shapes": SHAPE_RECIPE}, given=given)


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
    assert arguments.processes.coordinator == f"{name}-{replicated['name']}-0-0.{name}:5000"
    assert arguments.processes.processes == job["parallelism"] == job["completions"]
    assert '--process "$PROCESS"' in script
    assert [variable["name"] for variable in container["env"]] == ["PROCESS"]
    (mount,), (volume,) = container["volumeMounts"], job["template"]["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert arguments.run.run_dir.is_relative_to(mount["mountPath"])
    assert arguments.run.model.is_relative_to(mount["mountPath"])


def test_the_slurm_script_is_shell_and_starts_a_script_with_arguments_that_it_has():
    path = ROOT / "docs/train.slurm"
    subprocess.run(["bash", "-n", path], check=True)
    text = path.read_text()
    arguments = arguments_of(text.splitlines()[-1])
    assert arguments.processes.distributed
    assert f"ls {arguments.run.run_dir}/checkpoints" in text
    assert re.search(r"^#SBATCH --ntasks-per-node=1$", text, re.MULTILINE)
