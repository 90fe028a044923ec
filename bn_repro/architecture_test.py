"""Who may import whom; docs/structure.md explains it."""

import ast
import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import types

import pytest

import bn_repro

ROOT = pathlib.Path(__file__).parents[1]

# A module imports from lower levels, or from modules to its left on its own level. A
# package counts as one module, but for those in ROOMS.
LEVELS = [
    "errors arguments interrupt pace run_folder.files run_folder.checks"
    " run_folder.configuration config_files run_folder.records run_folder.seen"
    " run_folder.background run_folder.writer keys resolve keys_page"
    " platforms batch_norm metrics help_text program_cache cli __main__"
    " run_folder.manifest sum_check",
    "parallel layers layer_norm naive_norm noisy_norm convolutions conv_layers data"
    " optim programs run_folder.identity run_folder.checkpoint run_folder.lock"
    " run_folder.resume",
    "models",
    "train evaluate jacobians probe_measures probe run_folder.tensorboard feeds"
    " on_device_feed experiment due under_way start loop inference.import_weights",
    "inference.members inference.splits inference.predict inference.population"
    " inference.result inference.ensemble inference.fold inference.export",
    "sweep",
]
ORDER = " ".join(LEVELS).split()
ROOMS = {"inference", "run_folder"}
# What analysis may see of the rest.
FILE_READERS = {
    "errors",
    "run_folder.checks",
    "run_folder.configuration",
    "run_folder.files",
    "run_folder.records",
}
HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}


def sources(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    return [file for file in files if not file.stem.endswith(("_test", "conftest"))]


def imports(file):
    """Returns the dotted names that a file imports anywhere, with what `from` takes."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def own_modules(file):
    """Returns what a file imports of ours: {"layers", "run_folder.files", ...}."""
    split = [name.split(".") for name in imports(file)]
    return {level_name(parts[1:]) for parts in split if parts[0] == "bn_repro"} - {""}


def packages(file):
    """Returns the packages that a file imports, but for the standard library's."""
    return {name.split(".")[0] for name in imports(file)} - sys.stdlib_module_names


def unit(file):
    """Returns the name in LEVELS of the module or package that a file belongs to."""
    return level_name(file.relative_to(ROOT / "bn_repro").with_suffix("").parts)


def level_name(parts):
    """Returns the name in LEVELS of the path below bn_repro with these parts."""
    return ".".join(parts[: 2 if parts and parts[0] in ROOMS else 1])


def name_of(file):
    return str(file.relative_to(ROOT))


def test_every_module_has_a_level():
    units = {unit(file) for file in sources("bn_repro") if file.stem != "__init__"}
    assert units - {"analysis"} == set(ORDER)


@pytest.mark.parametrize("here", ORDER)
def test_a_module_imports_from_lower_ones_only(here):
    lower = set(ORDER[: ORDER.index(here) + 1])
    for file in sources("bn_repro"):
        if unit(file) == here:
            assert own_modules(file) <= lower, file
            assert not packages(file) & {"configs", "scripts"}, file


@pytest.mark.parametrize("package", ["", *sorted(ROOMS)])
def test_the_package_itself_and_its_rooms_import_nothing(package):
    assert not imports(ROOT / "bn_repro" / package / "__init__.py")


@pytest.mark.parametrize("file", sources("configs"), ids=name_of)
def test_configs_are_values_only(file):
    for name in imports(file):
        assert name.split(".")[0] in ("ml_collections", "configs")


@pytest.mark.parametrize("file", sources("bn_repro/analysis"), ids=name_of)
def test_analysis_reads_records_and_nothing_else_of_ours(file):
    made_up = {"run_folder.writer"} if file.stem == "testing" else set()
    assert own_modules(file) <= FILE_READERS | {"analysis"} | made_up
    outer = {"numpy", "scipy", "matplotlib", "PIL", "plotly"}
    assert packages(file) <= {"bn_repro"} | outer


@pytest.mark.parametrize("module", sorted(FILE_READERS))
def test_records_need_the_standard_library_and_numpy(module):
    file = (ROOT / "bn_repro").joinpath(*module.split(".")).with_suffix(".py")
    assert own_modules(file) <= FILE_READERS
    assert packages(file) <= {"bn_repro", "numpy"}


MODULES = {  # of distributions that are not named like their module
    "absl-py": "absl",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
}
# Needed by others, which do not declare it.
NOT_IMPORTED = {"importlib_resources", "flatbuffers"}
# Optional: an extra, asked for where it is missing.
EXTRAS = {"torch"}


def test_what_is_imported_is_declared_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", line)[0] for line in project["dependencies"]]
    declared = {MODULES.get(name, name.replace("-", "_")) for name in names}
    files = [*sources("bn_repro"), *sources("configs"), *sources("scripts")]
    others = {"benchmarks", "peers", "faults"}  # for those who work on this
    files = [file for file in files if file.parent.name not in others]
    found = set().union(*map(packages, files)) - {"bn_repro", "configs", *others}
    assert declared - NOT_IMPORTED == found - EXTRAS


def imported(statement, folder):
    """Returns the packages that a new Python process has loaded after statement."""
    command = f"import sys; {statement}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    result = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return {name.split(".")[0] for name in result.stdout.split()}


@pytest.fixture
def trap(tmp_path):
    """A folder with a `tensorflow` that ends the process which imports it."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imports tensorflow')")
    return tmp_path


def test_analysis_loads_no_jax(trap):
    files = sources("bn_repro/analysis")
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    modules = [".".join(names).removesuffix(".__init__") for names in parts]
    assert not imported(f"import {', '.join(modules)}", trap) & HEAVY


def test_training_loads_no_tensorflow_and_nothing_to_read_pictures_with(trap):
    packages_loaded = imported("import bn_repro.train, bn_repro.loop", trap)
    assert "jax" in packages_loaded
    heavy = {"tensorflow", "tensorflow_datasets", "cv2", "grain"}
    assert not packages_loaded & heavy


def test_a_config_loads_no_jax(trap):
    assert not imported("import configs.mnist", trap) & HEAVY


def test_a_sweep_is_planned_without_jax(trap):
    """Its workers start, and choose their cores, before anything of JAX is loaded."""
    statement = (
        "from bn_repro import sweep; from bn_repro.sweep import executors; "
        "members = sweep.members('configs/mnist.py', {}, [], sys.path[1] + '/none'); "
        "executors._groups(members)"
    )
    assert not imported(statement, trap) & HEAVY


def test_what_the_package_calls_public_is_there():
    named = re.findall(r"`((?!flax)[a-z_]+(?:\.\w+)*)`", bn_repro.__doc__)
    assert len(named) > 8
    for name in named:
        module, _, attribute = f"bn_repro.{name}".rpartition(".")
        try:
            assert hasattr(importlib.import_module(module), attribute), name
        except AssertionError:
            importlib.import_module(f"{module}.{attribute}")


def functions_of(thing):
    """Returns the public functions that a module, class or function stands for."""
    if inspect.isfunction(thing) or not hasattr(thing, "__dict__"):
        return [thing] * inspect.isfunction(thing)
    inside = [v for n, v in vars(thing).items() if n == "__call__" or n[0] != "_"]
    if inspect.ismodule(thing):
        inside = [one for one in inside if not isinstance(one, types.ModuleType)]
    found = [inspect.unwrap(one) for one in inside if callable(one)]
    functions = [one for one in found if inspect.isfunction(one)]
    return [one for one in functions if one.__module__.startswith("bn_repro")]


def test_public_functions_say_what_they_take_and_return():
    named = re.findall(r"`((?!flax)[a-z_]+(?:\.\w+)*)`", bn_repro.__doc__)
    functions = [one for name in named for one in functions_of(resolve(name))]
    assert len(functions) > 18
    for function in functions:
        signature = inspect.signature(function)
        values = [p.annotation for n, p in signature.parameters.items() if n != "self"]
        assert signature.empty not in [*values, signature.return_annotation], function


def resolve(name):
    """Returns what `name` in the package means: a module, or something in one."""
    module, _, attribute = f"bn_repro.{name}".rpartition(".")
    found = getattr(importlib.import_module(module), attribute, None)
    return found or importlib.import_module(f"{module}.{attribute}")
