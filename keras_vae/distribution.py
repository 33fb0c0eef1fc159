"""Training on several processes, on one machine or on several: `start` finds the others.

    from keras_vae import distribution, models

    processes = distribution.start()
    model = models.vae(...)
    model.fit(x, batch_size=256)
    distribution.stop()
    if processes.is_first:
        model.save("model.keras")

The same script runs as one process, and under `torchrun`, `srun` or a job of Kubernetes as
many, which train one model as one process would: see `keras_vae/training/several_machines.md`.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping

import keras

from keras_vae.training import processes
from keras_vae.training.processes import Processes

__all__ = ["Processes", "alone", "current", "start", "stop"]

# Of each launcher: the variables of the process's number, of how many there are, and of the
# address of the first one.
LAUNCHERS = {
    "Keras": (
        "KERAS_DISTRIBUTION_PROCESS_ID",
        "KERAS_DISTRIBUTION_NUM_PROCESSES",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    ),
    "torchrun": ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "JAX": ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS"),
}
# Among the last ports, of which JAX chooses one by the job's number in the same way.
PORTS = 2**12


def start() -> Processes:
    """Joins the processes that a launcher has started, and has `fit` train on all of them.

    Call it first: before a model is built, and before anything is computed. It reads the
    variables of the environment that these set, and one process is enough for nothing to change:

    - `torchrun`, Ray Train, Kubeflow's PyTorchJob: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT;
    - SLURM's `srun`: SLURM_PROCID, SLURM_NTASKS, SLURM_STEP_NODELIST, SLURM_JOB_ID;
    - JAX's jobs on Kubernetes: JAX_PROCESS_ID, JAX_NUM_PROCESSES, JAX_COORDINATOR_ADDRESS;
    - TensorFlow's: TF_CONFIG;
    - Keras': KERAS_DISTRIBUTION_PROCESS_ID, KERAS_DISTRIBUTION_NUM_PROCESSES,
      KERAS_DISTRIBUTION_JOB_ADDRESSES.

    Each of them works on each backend. SLURM's are read last, as others may run inside of it.

    From then on `fit` gives each process its part of every batch of arrays; `batch_size` is
    that of all processes together. Losses are means over all of them. The first process alone
    prints, and writes what `callbacks.Resume` keeps.

    Returns:
        `Processes`: which one this is, and of how many.

    Raises:
        ValueError: variables are missing, contradict one another, or are no numbers.
        RuntimeError: the backend has already computed something.
    """
    if processes.several():
        return processes.current()
    found = from_environment(os.environ)
    if found.size > 1:
        processes.begin(found)
    return found


def current() -> Processes:
    """What `start` has returned; one process where it was not called."""
    return processes.current()


def alone() -> contextlib.AbstractContextManager[None]:
    """A context for what one process does without the others while these train, such as to save.

    In it variables are those of this process only; Keras makes some to save an optimizer.
    """
    return processes.alone()


def stop() -> None:
    """Leaves the other processes: call it in all of them, where only the first one goes on.

    Models that were trained before keep their weights, which can be saved; to train or use
    them further, load what was saved, or build the model again and set its weights.
    """
    processes.end()


def from_environment(environment: Mapping[str, str]) -> Processes:
    """What the variables say; see `start`."""
    found = [_of_launcher(name, environment) for name in LAUNCHERS]
    found = [one for one in [*found, _of_tensorflow(environment)] if one is not None]
    if not found:
        found = [_of_slurm(environment)]
    first = found[0]
    for other in found[1:]:
        if other[:2] != first[:2]:
            told = "; ".join(f"process {p.rank} of {p.size} by {p.launcher}" for p in found)
            raise ValueError(
                "The launchers' variables contradict one another: unset those of all but one. "
                f"Received: {told}"
            )
    return first if first.size > 1 else Processes()


def _of_launcher(name, environment):
    names = LAUNCHERS[name]
    # Addresses alone say nothing: what starts one process sets them too.
    if not any(n in environment for n in names[:2]):
        return None
    rank, size = _numbers(names[:2], environment)
    if size == 1:
        return Processes(launcher=name)
    missing = [n for n in names[2:] if not environment.get(n)]
    if missing:
        raise ValueError(
            f"{names[1]}={size} processes need the address of the first one: set "
            f"{' and '.join(missing)}, or unset {names[0]} and {names[1]} for one process. "
            f"Received: {_shown(names, environment)}"
        )
    addresses = ":".join(environment[n] for n in names[2:]).split(",")
    if name == "torchrun" and keras.backend.backend() != "torch":
        # At the port itself torchrun's own agent listens.
        addresses = [_moved(addresses[0])]
    for address in addresses:
        if not re.fullmatch(r".+:\d+", address):
            raise ValueError(
                "An address must be a host and a port, such as 10.0.0.1:1234. "
                f"Received: {_shown(names[2:], environment)}"
            )
    local = [
        _number(n, environment) if n in environment else default
        for n, default in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1))
    ]
    return Processes(rank, size, *local, tuple(addresses), name)


def _of_tensorflow(environment):
    if not environment.get("TF_CONFIG"):
        return None
    try:
        config = json.loads(environment["TF_CONFIG"])
        cluster, task = config.get("cluster", {}), config.get("task", {})
        kind, index = task.get("type"), int(task.get("index", 0))
        addresses = [a for name in ("chief", "worker") for a in cluster.get(name, [])]
        rank = index + (len(cluster.get("chief", [])) if kind == "worker" else 0)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            "TF_CONFIG must be JSON with `cluster` and `task`. "
            f"Received: TF_CONFIG={environment['TF_CONFIG'][:200]!r} ({error})"
        ) from error
    if len(addresses) <= 1 and set(cluster) <= {"chief", "worker"}:
        return Processes(launcher="TF_CONFIG")
    if kind not in ("chief", "worker") or set(cluster) - {"chief", "worker"}:
        raise ValueError(
            "TF_CONFIG must name workers, which train on equal terms, and one of them as the "
            "task: parameter servers and evaluators have no place here. "
            f"Received: a cluster of {sorted(cluster)}, and a task of type {kind!r}"
        )
    _check(rank, len(addresses), "the task's index", "the number of workers in TF_CONFIG")
    return Processes(rank, len(addresses), addresses=tuple(addresses), launcher="TF_CONFIG")


def _of_slurm(environment):
    # Outside of `srun` a script runs once, however many tasks its job has.
    nodes = environment.get("SLURM_STEP_NODELIST")
    if not nodes or "SLURM_PROCID" not in environment:
        return Processes()
    sizes = [n for n in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") if n in environment]
    names = ("SLURM_PROCID", *(sizes[:1] or ["SLURM_NTASKS"]))
    rank, size = _numbers(names, environment)
    if size == 1:
        return Processes(launcher="SLURM")
    job = _number("SLURM_JOB_ID", environment)
    host = re.sub(r"^([^,\[]*)\[(\w+).*$", r"\1\2", nodes).split(",")[0]
    each = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    local = (int(environment.get("SLURM_LOCALID", 0)), int(re.match(r"\d+", each).group()))
    address = f"{host}:{2**16 - PORTS + job % PORTS}"
    return Processes(rank, size, *local, (address,), "SLURM")


def _numbers(names, environment):
    rank, size = (_number(name, environment) for name in names)
    _check(rank, size, *names)
    return rank, size


def _number(name, environment):
    value = environment.get(name)
    if value is None:
        raise ValueError(
            f"{name} is missing beside the other variables of its launcher: set it, or unset them. "
            f"Received: {name}=None"
        )
    if not re.fullmatch(r"\d+", value.strip()):
        raise ValueError(f"{name} must be a number. Received: {name}={value!r}")
    return int(value)


def _check(rank, size, *names):
    if not rank < size:
        raise ValueError(
            f"{names[0]} must be below {names[1]}: processes are numbered from 0. "
            f"Received: {rank} of {size}"
        )


def _moved(address):
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}" if port.isdigit() else address


def _shown(names, environment):
    return ", ".join(f"{name}={environment.get(name)}" for name in names)
