"""Only what runs is traced; an export holds what its platform needs."""

import jax
import jax.export  # not an attribute of jax before it is imported
import jax.numpy as jnp
import pytest

from bn_repro.platforms import for_export, per_platform


@jax.jit
def cosine_on_cpu(x):
    return per_platform(jnp.cos, jnp.sin, x)


def test_on_cpu_only_its_formulation_is_traced():
    assert [e.primitive.name for e in cosine_on_cpu.trace(1.0).jaxpr.eqns] == ["cos"]


@pytest.mark.parametrize(("platform", "expected"), [("cpu", "cosine"), ("tpu", "sine")])
def test_an_export_holds_its_platform_s(platform, expected):
    cosine_on_cpu(1.0)  # what was traced before does not count
    with for_export(True):
        export = jax.export.export(cosine_on_cpu, platforms=[platform])
        module = export(1.0).mlir_module()
    assert f"stablehlo.{expected} " in module
    assert module.count("stablehlo.cosine") + module.count("stablehlo.sine") == 1


def test_beside_an_accelerator_lowering_chooses(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jaxpr = str(jax.make_jaxpr(lambda x: per_platform(jnp.cos, jnp.sin, x))(2.0))
    assert "cos" in jaxpr and "sin" in jaxpr
