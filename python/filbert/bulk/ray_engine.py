"""Ray hands out shards to workers on its machines; what a worker does with one is what any process does."""

import os
import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..checks import optional_count
from ..errors import DeviceError, InputError
from ..optional_packages import need
from .fingerprint import Fingerprint
from .local import Model, make_worker
from .manifest import Done, Manifest, difference
from .settings import Settings
from .worker import Worker

# A worker that dies is started again, and its shard done again, so often.
_RETRIES = 3
# Seconds that workers may take to begin: until a warning, and from then on. Clusters that grow take minutes.
WARN_AFTER = 30.0
GIVE_UP_AFTER = 600.0


class RayEngine:
    """See `Engine`. Connects to the cluster of RAY_ADDRESS, or starts one of this machine, if the caller has not.

    workers: as many processes, each with as many cores as all of them find; None: one a machine, each with as many as
    the least machine has. `num_threads` of the options is another number of cores for each. An encoder that was loaded
    with `num_threads` keeps its own.

    Raises ImportError, InputError if machines would give different vectors, DeviceError if no worker has begun after
    some minutes, and what `make_worker` does. Those that have not begun by then, where others have, are left out.
    """

    def __init__(self, model: Model, options: Mapping[str, Any], settings: Settings, workers: int | None) -> None:
        self._ray = ray = need("ray", "ray")
        if not ray.is_initialized():
            ray.init()
        cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        cores = [count for count in cores if count]
        workers = optional_count("workers", workers)
        if not (workers or cores):
            raise DeviceError("the cluster of Ray has no machine with a CPU")
        threads = optional_count("num_threads", options.get("num_threads")) or cores_for_each(cores, workers)
        retries = {"max_restarts": _RETRIES, "max_task_retries": _RETRIES}
        remote = ray.remote(num_cpus=threads, scheduling_strategy="SPREAD", **retries)(RayWorker)
        arguments = os.getcwd(), threads, pickle.dumps(model), options, settings
        self._workers = [remote.remote(*arguments) for _ in range(workers or len(cores))]
        try:
            self._await_workers(threads, cores)
            self.fingerprint = self._same_fingerprint()
        except BaseException:
            self.close()
            raise

    def run(self, manifest: Manifest, numbers: Sequence[int]) -> Iterator[tuple[int, Done]]:
        shared = self._ray.put(manifest)
        waiting, idle = list(reversed(numbers)), list(self._workers)
        running: dict[Any, tuple[int, Any]] = {}
        while waiting or running:
            while waiting and idle:
                number, worker = waiting.pop(), idle.pop()
                running[worker.encode.remote(shared, number)] = number, worker
            (ready, *_), _ = self._ray.wait(list(running))
            number, worker = running.pop(ready)
            idle.append(worker)
            yield number, self._get(ready)

    def close(self) -> None:
        for worker in self._workers:
            self._ray.kill(worker)

    def _await_workers(self, threads: int, cores: Sequence[int]) -> None:
        wait = self._ray.wait
        beginning = {worker.begin.remote(): worker for worker in self._workers}
        count = len(beginning)
        _, missing = wait(list(beginning), num_returns=count, timeout=WARN_AFTER)
        if not missing:
            return
        free = self._ray.available_resources().get("CPU", 0)
        told = (
            f"of {count} workers of Ray {len(missing)} have not begun: each asks for {threads} CPUs; the cluster has "
            f"machines of {', '.join(map(str, cores)) or 'none'}, and {free:g} are free. workers and num_threads of "
            "model_options ask for others"
        )
        warnings.warn(f"{told}. They are waited for {GIVE_UP_AFTER:g} s more", stacklevel=4)
        _, missing = wait(list(beginning), num_returns=count, timeout=GIVE_UP_AFTER)
        if len(missing) == count:
            raise DeviceError(f"after {WARN_AFTER + GIVE_UP_AFTER:g} s, {told}")
        for each in missing:
            self._workers.remove(beginning[each])
            self._ray.kill(beginning[each])

    def _same_fingerprint(self) -> Fingerprint:
        first, *others = [self._get(each) for each in [worker.fingerprint.remote() for worker in self._workers]]
        for other in others:
            if what := difference(other, first):
                raise InputError(
                    f"the machines of the cluster would give different vectors: {what} (FILBERT_CPU_ISA forces one "
                    "instruction set)"
                )
        return dict(first)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            cause: Exception = error.cause
            raise cause from None


def cores_for_each(cores: Sequence[int], workers: int | None) -> int:
    """Of machines with so many cores, as many as every worker finds; workers: None is one a machine."""
    if workers is None:
        return min(cores)
    found = [each for each in range(1, max(cores, default=0) + 1) if sum(n // each for n in cores) >= workers]
    return max(found, default=1)


class RayWorker:
    """A worker in a process of Ray, in the folder of the caller: paths mean there what they mean here.

    threads: of a model that is not loaded with a number of its own. model: pickled, so that it is loaded with them.
    """

    def __init__(self, folder: str, threads: int, model: bytes, options: Mapping[str, Any], settings: Settings) -> None:
        self._arguments = folder, threads, model, options, settings
        self._worker: Worker | None = None

    def begin(self) -> None:
        """Is over once there is a process."""

    def fingerprint(self) -> Fingerprint:
        return self._loaded().fingerprint

    def encode(self, manifest: Manifest, number: int) -> Done:
        return self._loaded().encode(manifest, number)

    def _loaded(self) -> Worker:
        # Not in __init__, whose errors Ray reports as the death of the process.
        if self._worker is None:
            folder, threads, model, options, settings = self._arguments
            os.chdir(folder)
            os.environ["FILBERT_NUM_THREADS"] = str(threads)
            self._worker = make_worker(pickle.loads(model), options, settings)
        return self._worker
