"""The examples for clusters call the commands as they are, and share members out."""

import os
import subprocess

import pytest
import yaml

from bn_repro import sweep
from bn_repro.cli import ROOT

INDEX = 3


def called(script, tmp_path, variable):
    """Returns the arguments that a shell script calls Python with, as one task."""
    for name in ("srun", "python"):
        recorder = tmp_path / name
        recorder.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        recorder.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    environment[variable] = str(INDEX)
    result = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def slurm(tmp_path):
    script = (ROOT / "scripts" / "slurm" / "sweep.sbatch").read_text()
    assert "#SBATCH --array=0-7\n" in script
    return 8, called(script, tmp_path, "SLURM_ARRAY_TASK_ID")


def kubernetes(tmp_path):
    job = yaml.safe_load((ROOT / "scripts" / "k8s" / "sweep.yaml").read_text())["spec"]
    assert job["completionMode"] == "Indexed"
    container = job["template"]["spec"]["containers"][0]
    assert container["command"][:2] == ["sh", "-c"]
    tasks, script = job["completions"], container["command"][2]
    return tasks, called(script, tmp_path, "JOB_COMPLETION_INDEX")


@pytest.mark.parametrize("example", [slurm, kubernetes])
def test_every_member_is_some_task_s(example, tmp_path):
    tasks, arguments = example(tmp_path)
    values = dict(zip(arguments, arguments[1:], strict=False))
    assert values["--index"] == str(INDEX) and values["--count"] == str(tasks)
    members = sweep.members(values["--config"], {}, [], values["--workdir"])
    shares = [sweep.share(members, index, tasks) for index in range(tasks)]
    assert sorted(sum(shares, [])) == sorted(members)


def test_the_flags_of_the_examples_exist():
    definitions = (ROOT / "scripts" / "sweep.py").read_text()
    for example in ("slurm/sweep.sbatch", "k8s/sweep.yaml"):
        words = (ROOT / "scripts" / example).read_text().split("scripts/sweep.py")[-1]
        for word in words.split():
            if word.startswith("--") and word != "--config":
                assert f'"{word[2:]}"' in definitions, word
