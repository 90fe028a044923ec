"""The command exports class names from where it is told that they are."""

import shutil
from functools import partial

import jax
import pytest

from bn_repro import experiment, loop
from bn_repro.data.conftest import make_picture, write_jpeg
from bn_repro.run_folder import files
from bn_repro.streamed_run_test import short


@pytest.mark.slow
def test_named_pictures_name_the_classes(tmp_path, call):
    wnids = ["n01440764", "n02012849", "n03804744"]
    pictures, workdir = tmp_path / "pictures", tmp_path / "run"
    for first, split in ((0, "train"), (12, "val")):
        for i in range(first, first + 12):
            path = pictures / split / wnids[i % 3] / f"{i}.JPEG"
            write_jpeg(path, make_picture(i, 40, 50))
    config = short(pictures, steps=2, **{"probe.every": 0, "probe.log_spaced": 0})
    assert loop.run(config, workdir, jax.devices()[:1]) == "finished"
    folders = (f"--workdir={workdir}", f"--out={workdir}", "--platforms=cpu")
    export = partial(call, "export", *folders)

    def labels(*arguments):
        result = export(*arguments)
        assert result.returncode == 0, result.stderr
        return files.read_json(workdir / "network.json")["labels"]

    words = "n01440764 tench\nn02012849 crane\nn03804744 nail\n"
    (pictures / "val" / "synset_words.txt").write_text(words)
    assert labels() == wnids  # as they were recorded
    assert labels(f"--val={pictures / 'val'}") == ["tench", "crane", "nail"]

    classes = files.read_json(workdir / "classes.json")
    in_another_order = {key: names[::-1] for key, names in classes.items()}
    files.write_json(workdir / "classes.json", in_another_order)
    assert labels(f"--val={pictures / 'val'}") == ["nail", "crane", "tench"]
    files.write_json(workdir / "classes.json", classes)

    (kept,) = workdir.glob("population_*.npz")  # Algorithm 2's statistics, by default
    shutil.rmtree(pictures / "train")
    assert labels() == wnids  # they are kept, no picture is needed
    kept.unlink()
    experiment.forget()  # as in a new process
    result = export()
    assert result.returncode == 2
    assert "Algorithm 2 averages over training pictures" in result.stderr
    assert result.stderr.rstrip().endswith("--statistics ema")
    assert labels("--statistics=ema") == wnids
