import importlib.metadata

import jax

from bn_repro.run_folder import manifest


def test_the_code_need_not_be_installed_to_state_its_versions(monkeypatch):
    of_package = importlib.metadata.version

    def missing(name):
        if name == "bn_repro":
            raise importlib.metadata.PackageNotFoundError(name)
        return of_package(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    versions = manifest.versions()
    assert versions["jax"] == of_package("jax")
    assert versions["bn_repro"].count(".") == 2


def test_the_precision_is_the_config_s_or_else_what_jax_is_told():
    assert manifest.matmul_precision("highest") == "highest"
    assert manifest.matmul_precision() == "default"
    with jax.default_matmul_precision("float32"):
        assert manifest.matmul_precision() == "float32"
        assert manifest.matmul_precision("highest") == "highest"
