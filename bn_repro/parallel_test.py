"""Batches that do not divide are refused; jobs of several processes are recognised."""

import concurrent.futures
import os
import signal
from unittest.mock import Mock

import jax
import numpy as np
import pytest

from bn_repro import interrupt, parallel
from bn_repro.errors import UserError


def test_a_batch_that_does_not_divide_names_one_that_does():
    mesh = parallel.make_mesh(jax.devices()[:8])
    assert parallel.check_batch(64, mesh) == 8
    with pytest.raises(UserError, match="batch_size=60 .* 8 devices; .* such as 64"):
        parallel.check_batch(60, mesh)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "2"}, False),  # an allocation's shell, not a step of it
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
        (
            {
                "KUBERNETES_SERVICE_HOST": "10.0.0.1",
                "JOB_COMPLETION_INDEX": "0",
                "JAX_COORDINATOR_ADDRESS": "host:1234",
            },
            True,
        ),
    ],
)
def test_jobs_of_several_processes_are_recognised(environment, expected):
    assert parallel._in_cluster(environment) == expected


def test_a_coordinator_needs_processes_and_index():
    with pytest.raises(
        UserError, match="--coordinator, --processes and --process_index"
    ):
        parallel.initialize("host:1234", processes=2, index=2)


def test_replicated_and_sharded_arrays_are_where_they_should_be():
    mesh = parallel.make_mesh(jax.devices()[:4])
    x = np.arange(8.0)
    everywhere = parallel.replicate({"x": x}, mesh)["x"]
    assert [s.data.shape for s in everywhere.addressable_shards] == [(8,)] * 4
    spread = parallel.shard({"x": x}, mesh)["x"]
    parts = [np.asarray(s.data).tolist() for s in spread.addressable_shards]
    assert parts == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert parallel.local(everywhere).devices() == {jax.devices()[0]}


def test_in_a_thread_no_signal_is_noticed_and_none_is_refused():
    def run():
        with parallel.Preemption() as preemption, interrupt.asked_to_stop() as asked:
            return preemption.requested() or bool(asked)

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        assert thread.submit(run).result() is False


def test_only_a_second_ctrl_c_is_not_held_back():
    before = signal.getsignal(signal.SIGTERM)
    # A script's background job starts with SIGINT ignored.
    before_int = signal.signal(signal.SIGINT, signal.default_int_handler)
    with parallel.Preemption() as preemption:
        assert not preemption.requested()
        signal.raise_signal(signal.SIGTERM)
        assert preemption.requested()
        signal.raise_signal(signal.SIGTERM)  # of the job, after that of the parent
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before_int)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLURM_STEP_NUM_TASKS", "2", "SLURM_STEP_NUM_TASKS say .* srun or mpirun"),
        ("OMPI_COMM_WORLD_SIZE", "2", "OMPI_COMM_WORLD_SIZE say"),
        ("OMPI_COMM_WORLD_SIZE", "x", "OMPI_COMM_WORLD_SIZE is 'x'"),
    ],
)
def test_a_cluster_known_in_part_is_refused(name, value, message, monkeypatch):
    for other in [name for name in os.environ if name.startswith(parallel.CLUSTERS)]:
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, value)
    refusal = ValueError("coordinator_address should be defined.")
    monkeypatch.setattr(jax.distributed, "initialize", Mock(side_effect=refusal))
    with pytest.raises(UserError, match=message):
        parallel.initialize()
