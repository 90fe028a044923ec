"""Where the computation runs: processes, the device mesh, shardings, preemption."""

import os
import signal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bn_repro import interrupt
from bn_repro.errors import UserError

AXIS = "data"  # the mesh axis that examples are spread over
SHARDED = P(AXIS)
REPLICATED = P()
PROCESS_COUNTS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
# How the variables begin from which JAX learns of a job's other processes.
CLUSTERS = ("SLURM_", "OMPI_", "TPU_WORKER_", "KUBERNETES_SERVICE_HOST", "JAX_COORD")


def make_mesh(devices=None) -> Mesh:
    """Returns a one-axis mesh over devices (default: all devices of all processes)."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,))


def check_batch(batch_size: int, mesh: Mesh) -> int:
    """Returns the examples on each device; UserError if the batch does not divide."""
    if batch_size % mesh.size:
        nearest = max(1, round(batch_size / mesh.size)) * mesh.size
        raise UserError(
            f"batch_size={batch_size} does not divide over {mesh.size} devices; "
            f"use a multiple of {mesh.size} such as {nearest}"
        )
    return batch_size // mesh.size


def spmd(function, mesh: Mesh, in_specs, out_specs):
    """Returns function run on every device of the mesh, with AXIS as its axis name.

    check_vma=False: with the default, gradients of replicated parameters arrive already
    summed over the axis, and the average in the step would leave them too large.
    """
    return jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def replicate(tree, mesh: Mesh):
    """Returns the tree with every array on every device."""
    return jax.device_put(tree, NamedSharding(mesh, REPLICATED))


def replicated_key(seed: int, mesh: Mesh):
    """Returns the typed random key of a seed on every device.

    Made there: device_put takes no typed keys to the devices of other processes.
    """
    sharding = NamedSharding(mesh, REPLICATED)
    return jax.jit(jax.random.key, out_shardings=sharding)(np.int64(seed))


def split(array, mesh, spec):
    """Returns a numpy array, whole in every process, as one array split over the mesh.

    The PartitionSpec says along which axis.
    """
    sharding = NamedSharding(mesh, spec)
    with _explicit():
        return jax.make_array_from_callback(array.shape, sharding, lambda i: array[i])


def shard(tree, mesh: Mesh):
    """Returns this process's part of each array as part of the global array."""
    sharding = NamedSharding(mesh, SHARDED)
    make = jax.make_array_from_process_local_data
    with _explicit():
        return jax.tree.map(lambda x: make(sharding, np.asarray(x)), tree)


def _explicit():
    """Returns a context where what is sent to the devices counts as asked for.

    To jax.transfer_guard arrays that are made from parts do not.
    """
    return jax.transfer_guard_host_to_device("allow")


def local(tree):
    """Returns replicated arrays as arrays on this process's first device alone."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def is_main() -> bool:
    """Returns whether this is the process that writes records."""
    return jax.process_index() == 0


def say(line: str) -> None:
    """Prints a line, if there is one, on the process that writes records."""
    if line and is_main():
        print(line, flush=True)


def on_main(action):
    """Returns what action returns on the process that writes records, None elsewhere.

    An error there ends all processes.

    Raises:
      UserError: action's own; on the other processes that it failed.
    """
    result, error = None, None
    if is_main():
        try:
            result = action()
        except UserError as raised:
            error = raised
    if jax.process_count() > 1:
        failed = multihost_utils.broadcast_one_to_all(np.int32(error is not None))
        if failed and error is None:
            error = UserError("process 0 cannot go on, and says why")
    if error:
        raise error
    return result


class Preemption:
    """Notices SIGTERM, which clusters send before they take a machine, and Ctrl-C.

    And SIGHUP, the end of the terminal. A signal that the process was started to ignore
    it goes on ignoring, but for SIGTERM. Used as a context manager around the training
    loop. A second Ctrl-C ends the process at once; a second SIGTERM does not, since a
    job's scheduler and its parent process may both send one. In a thread other than
    the main one no signal is noticed. On several processes all
    of them learn of it at the same chunk, through JAX's preemption sync, which listens
    to SIGTERM.
    """

    def __enter__(self):
        self._noticed = False
        self._chunk = 0
        self._previous = {}
        numbers = [signal.SIGINT, signal.SIGHUP]
        numbers = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
        if jax.process_count() == 1:
            numbers.append(signal.SIGTERM)
        for number in numbers if interrupt.may_handle() else []:
            self._previous[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _notice(self, number, _):
        self._noticed = True
        interrupt.noticed = number
        if number == signal.SIGINT:
            signal.signal(number, self._previous[number])
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def requested(self) -> bool:
        """Returns whether to save and stop; call once after every chunk of steps."""
        if jax.process_count() == 1:
            return self._noticed
        self._chunk += 1  # must grow by one a call, or the sync point never fires
        return multihost_utils.reached_preemption_sync_point(self._chunk)


def initialize(coordinator: str = "", processes: int = 0, index: int = -1) -> None:
    """Joins this process to the others of the job; does nothing on one process.

    Args:
      coordinator: host:port of process 0. Empty: Slurm, Open MPI, Kubernetes and Cloud
        TPU are recognised by their environment variables.
      processes: number of processes, with coordinator.
      index: this process's number, with coordinator.

    Raises:
      UserError: coordinator, processes and index do not go together, or the variables
        of a cluster are there in part.
    """
    if coordinator or processes or index != -1:
        if not coordinator or processes < 1 or not 0 <= index < processes:
            raise UserError(
                f"--coordinator, --processes and --process_index below it go together; "
                f"got {coordinator!r}, {processes} and {index}"
            )
        jax.distributed.initialize(coordinator, processes, index)
    elif _in_cluster(os.environ):
        _join_cluster()


def _join_cluster() -> None:
    try:
        jax.distributed.initialize()
    except (ValueError, KeyError, RuntimeError) as error:
        there = [name for name in os.environ if name.startswith(CLUSTERS)]
        raise UserError(
            f"{', '.join(sorted(there))} say that this is one of several processes, "
            f"but do not say of which job ({error}); start it with srun or mpirun, or "
            f"name --coordinator, --processes and --process_index, or unset them"
        ) from error


def _in_cluster(environment) -> bool:
    """Returns whether the variables describe a job of more than one process."""
    if any(_number(environment, name) > 1 for name in PROCESS_COUNTS):
        return True
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "")
    kubernetes_job = "KUBERNETES_SERVICE_HOST" in environment and (
        "JOB_COMPLETION_INDEX" in environment
        and "JAX_COORDINATOR_ADDRESS" in environment
    )
    return "," in hosts or kubernetes_job


def _number(environment, name: str) -> int:
    text = environment.get(name) or "1"
    if not text.isdecimal():
        raise UserError(f"{name} is {text!r}, no number of processes; unset it")
    return int(text)
