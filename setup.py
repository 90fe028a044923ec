"""What pyproject.toml cannot say: where the modules of a wheel lie, and which they are.

configs/ and scripts/ are installed inside of bn_repro: packages called so would be in
everybody's way. Tests, and what is for work on the package, stay in the checkout.
"""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

STAY = {"conftest", "testing", "benchmark", "torture"}


class BuildPy(build_py):
    """Leaves the tests out."""

    def find_package_modules(self, package, package_dir):
        """Returns (package, module, file) of what is installed of a package."""
        found = super().find_package_modules(package, package_dir)
        stays = lambda name: name in STAY or name.endswith("_test")  # noqa: E731
        return [entry for entry in found if not stays(entry[1])]


setup(
    packages=[
        *find_packages(include=["bn_repro*"]),
        "bn_repro.configs",
        "bn_repro.scripts",
    ],
    package_dir={"bn_repro.configs": "configs", "bn_repro.scripts": "scripts"},
    cmdclass={"build_py": BuildPy},
)
