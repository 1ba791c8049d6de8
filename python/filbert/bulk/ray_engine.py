"""Ray hands out shards to workers on its machines; what a worker does with one is what any process does."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..optional_packages import need
from .fingerprint import Fingerprint
from .local import Model, make_worker
from .manifest import Done, Manifest, difference
from .settings import Settings
from .worker import Worker

# A worker that dies is started again, and its shard done again, so often.
_RETRIES = 3


class RayEngine:
    """See `Engine`. Connects to the cluster of RAY_ADDRESS, or starts one of this machine, if the caller has not.

    workers: as many processes, each with its share of the cores; None: one a machine. Raises ImportError, InputError
    if machines would give different vectors, and what `make_worker` does.
    """

    def __init__(self, model: Model, options: Mapping[str, Any], settings: Settings, workers: int | None) -> None:
        self._ray = ray = need("ray", "ray")
        if not ray.is_initialized():
            ray.init()
        machines = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        workers = workers or len(machines)
        threads = options.get("num_threads") or max(1, int(ray.cluster_resources()["CPU"]) // workers)
        remote = ray.remote(num_cpus=threads, max_restarts=_RETRIES, max_task_retries=_RETRIES)(RayWorker)
        options = {**options, "num_threads": threads}
        self._workers = [remote.remote(os.getcwd(), model, options, settings) for _ in range(workers)]
        try:
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


class RayWorker:
    """A worker in a process of Ray, in the folder of the caller: paths mean there what they mean here."""

    def __init__(self, folder: str, model: Model, options: Mapping[str, Any], settings: Settings) -> None:
        self._arguments = folder, model, options, settings
        self._worker: Worker | None = None

    def fingerprint(self) -> Fingerprint:
        return self._loaded().fingerprint

    def encode(self, manifest: Manifest, number: int) -> Done:
        return self._loaded().encode(manifest, number)

    def _loaded(self) -> Worker:
        # Not in __init__, whose errors Ray reports as the death of the process.
        if self._worker is None:
            folder, model, options, settings = self._arguments
            os.chdir(folder)
            self._worker = make_worker(model, options, settings)
        return self._worker
