import pathlib
import time
import tomllib

import jax
import pytest

from bn_repro import sum_check
from bn_repro.errors import UserError

PYPROJECT = pathlib.Path(__file__).parents[1] / "pyproject.toml"
RIGHT = 4.0 * 1024 * 1024


def test_the_installed_jaxlib_passes_in_a_moment():
    jax.devices()  # start the backend
    seconds = []
    for _ in range(5):
        jax.clear_caches()
        started = time.perf_counter()
        sum_check.check_sums()
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.5  # 0.1 when the machine has nothing else to do


def test_one_wrong_sum_among_many_is_refused():
    sums = iter([RIGHT] * 9 + [RIGHT - 4096] + [RIGHT] * 90)
    with pytest.raises(UserError, match="adds wrongly.*4190208.*install jax") as caught:
        sum_check.check_sums(total=lambda column: next(sums))
    assert "\n" not in str(caught.value)


def test_a_slow_machine_is_not_kept_waiting(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(sum_check.time, "perf_counter", lambda: next(clock))
    sums = iter([RIGHT])
    sum_check.check_sums(total=lambda column: next(sums))


@pytest.mark.parametrize("version", sum_check.EXCLUDED)
def test_excluded_versions_are_refused_and_advised(version):
    with pytest.raises(UserError, match=f"jaxlib {version} .*0.10.1.*0.12"):
        sum_check.check_sums(total=lambda column: RIGHT, version=version)


def test_pyproject_excludes_the_same_versions():
    requirements = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (jax_requirement,) = [line for line in requirements if line.startswith("jax>")]
    excluded = [part[2:] for part in jax_requirement.split(",") if part[:2] == "!="]
    assert tuple(excluded) == sum_check.EXCLUDED
