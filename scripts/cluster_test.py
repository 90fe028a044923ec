"""The examples for clusters call the commands as they are, and share members out."""

import os
import subprocess

import pytest
import yaml

from bn_repro import config_files, keys, resolve, sweep
from bn_repro.cli import ROOT

INDEX = 3


def started(script, tmp_path, *words, status=0, **variables):
    """Runs a shell script where python and the like only print how they are called."""
    for name in ("srun", "python", "scontrol", "gcloud"):
        recorder = tmp_path / name
        recorder.write_text('#!/bin/sh\necho "${0##*/}"\nprintf "%s\\n" "$@"\n')
        recorder.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **variables}
    result = subprocess.run(
        ["bash", "-c", script, "script", *words],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stderr
    return result.stdout.split()


def called(script, tmp_path, variable):
    """Returns the arguments that a shell script calls Python with, as one task."""
    return started(script, tmp_path, **{variable: str(INDEX)})[1:]


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


def values(words):
    """Returns the configuration and the flags that scripts/train.py is called with."""
    words = words[words.index("scripts/train.py") + 1 :]
    config = config_files.load(words[words.index("--config") + 1])
    sets = (word.removeprefix("--config.") for word in words if "--config." in word)
    typed = {key: value for key, _, value in (word.partition("=") for word in sets)}
    for key, value in typed.items():
        kind = type(keys.get(config, key))
        config.update_from_flattened_dict({key: kind(value)})
    resolve.validate(config)
    return config, dict(zip(words, words[1:], strict=False))


INTERRUPTED, FINISHED = '{"status": "interrupted"}', '{"status": "finished"}'


@pytest.mark.parametrize("status", [INTERRUPTED, FINISHED])
def test_two_nodes_of_slurm_resume_what_was_preempted(tmp_path, status):
    script = (ROOT / "scripts" / "slurm" / "train.sbatch").read_text()
    assert {"#SBATCH --nodes=2", "#SBATCH --requeue"} <= set(script.splitlines())
    (tmp_path / "status.json").write_text(status)
    environment = {"SLURM_JOB_ID": "7", "WORKDIR": str(tmp_path)}
    words = started(script, tmp_path, "--config.seed=3", **environment)
    again = ["scontrol", "requeue", "7"] if status == INTERRUPTED else []
    assert words[len(words) - len(again) :] == again
    words = words[: len(words) - len(again)]
    assert words[:2] == ["srun", ".venv/bin/python"]
    config, flags = values(words)
    assert (config.seed, config.data.train) == (3, "/imagenet/train")
    assert flags["--workdir"] == str(tmp_path)


def test_two_pods_of_kubernetes_find_each_other(tmp_path):
    file = ROOT / "scripts" / "k8s" / "train.yaml"
    service, job = yaml.safe_load_all(file.read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    shell, option, script = pod["containers"][0]["command"]
    assert (shell, option, spec["completions"]) == ("sh", "-c", 2)
    script = script.replace("/runs", str(tmp_path))
    folder = tmp_path / "imagenet" / "bn_x30"
    folder.mkdir(parents=True)
    for text, status in ((INTERRUPTED, 75), (FINISHED, 0)):
        (folder / "status.json").write_text(text)
        words = started(script, tmp_path, status=status, JOB_COMPLETION_INDEX="1")
        config, flags = values(words)
        assert config.batch_size == 512
        assert flags["--process_index"] == "1" and flags["--processes"] == "2"
        name = job["metadata"]["name"]
        host = f"{name}-0.{pod['subdomain']}:"  # of the first pod of an indexed Job
        assert flags["--coordinator"].startswith(host)


def test_every_host_of_a_tpu_slice_runs_the_same(tmp_path):
    script = (ROOT / "scripts" / "tpu" / "train.sh").read_text()
    slice_ = {"TPU": "v5e", "ZONE": "a", "RUNS": "/r", "IMAGENET": "/i"}
    words = started(script, tmp_path, "--config.seed=3", **slice_)
    assert words[:1] + words[5:9] == ["gcloud", "v5e", "--zone", "a", "--worker=all"]
    config, flags = values(words)
    assert flags["--workdir"] == "/r/imagenet/bn_x30"
    assert (config.seed, config.data.val) == (3, "/i/val")
    del slice_["ZONE"]
    assert started(script, tmp_path, status=1, **slice_) == []
