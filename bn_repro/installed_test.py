"""What pip installs, and that it is enough: no tests, no package called configs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bn_repro
from bn_repro import __main__ as entry
from bn_repro import config_files
from bn_repro.run_folder import manifest

ROOT = config_files.ROOT
DATA = {"data/mnist.npz", "data/MNIST.md", "analysis/style.mplstyle"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    commands = f"egg_info -e {folder} build -b {folder}/build"
    commands += f" bdist_wheel -b {folder}/tree -d {folder}"
    words = [sys.executable, "setup.py", "-q", *commands.split()]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_a_wheel_has_the_package_with_configs_and_commands_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    own = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in own} == {"bn_repro"}
    rest = {"conftest", "testing"}
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "bn_repro").rglob("*.py")
        if path.stem not in rest and not path.stem.endswith("_test")
    }
    modules |= {f"bn_repro/configs/{name}.py" for name in config_files.names()}
    modules |= {f"bn_repro/configs/{name}.py" for name in ("__init__", "common")}
    modules |= {f"bn_repro/scripts/{name}.py" for name in entry.COMMANDS}
    assert {name for name in own if name.endswith(".py")} == modules
    data = {name.removeprefix("bn_repro/") for name in own - modules}
    assert {name for name in data if "page/assets/" not in name} == DATA


MINE = """
from configs import common
def get_config():
    from configs import mnist
    config = mnist.get_config("bn")
    config.steps = 7
    return config
"""


def test_it_works_beside_another_s_configs_and_with_one_s_own_file(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise SystemExit('another')")
    (tmp_path / "mine.py").write_text(MINE)
    code = (
        "import sys; from bn_repro import __main__; "
        "sys.argv = 'bn_repro train --config=mine.py --print_config'.split(); "
        "__main__.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{site}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "\nsteps = 7\n" in done.stdout and "norm = 'batch_norm'" in done.stdout


def test_the_entry_point_names_its_commands(monkeypatch, capsys):
    def main(*words):
        monkeypatch.setattr(sys, "argv", ["bn_repro", *words])
        return entry.main(), *capsys.readouterr()

    assert main("--version") == (0, f"{bn_repro.__version__}\n", "")
    status, told, _ = main()
    assert status == 0 and all(f"\n  {name} " in told for name in entry.COMMANDS)
    assert main("tarin")[::2] == (
        2,
        "error: there is no command 'tarin'; did you mean train?\n",
    )
    assert main("x")[2].endswith(
        "'x'; there are: train, sweep, report, evaluate, "
        "export, import_weights, prepare_data\n"
    )


def test_every_command_is_a_script_and_every_script_a_command_or_for_work_on_it():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    commands = {name for name in scripts if not name.endswith("_test")}
    assert commands - {"benchmark", "torture", "conftest"} == set(entry.COMMANDS)


def test_the_revision_is_the_code_s_and_not_of_what_lies_around(tmp_path, monkeypatch):
    assert manifest.git_revision()[0] != "unknown"
    file = tmp_path / "site" / "manifest.py"
    file.parent.mkdir()
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True)
    monkeypatch.setattr(manifest, "__file__", str(file))
    assert manifest.git_revision() == ("unknown", None)
    assert Path(manifest.__file__) == file


def test_a_command_is_recorded_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bn_repro train", "--config", "mnist:bn"])
    assert manifest.command() == "bn_repro train --config mnist:bn"
