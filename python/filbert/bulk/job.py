"""`filbert.bulk.encode`."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..errors import InputError
from ..progress import Bar
from ..sentence.encoder import SentenceEncoder
from .fingerprint import Fingerprint
from .folder import begin, check_same, find_job
from .local import LocalEngine, Model
from .manifest import Done, Manifest, SourceState
from .parts import RECORDS
from .plan import plan
from .settings import Settings, make_settings, read_share
from .source import Named
from .sources import STANDARD_INPUT, Names, name_sources, open_source
from .stream import encode_stream
from .whole_files import remove_left_behind

ENGINES = ("local", "ray")


class Engine(Protocol):
    """What has shards done. fingerprint: of its workers, all the same."""

    @property
    def fingerprint(self) -> Fingerprint: ...

    def run(self, manifest: Manifest, numbers: Sequence[int]) -> Iterator[tuple[int, Done]]:
        """Has shards done, and yields each when it is."""

    def close(self) -> None:
        """Ends what it started."""


def encode(
    model: Model,
    sources: Names,
    output: str | os.PathLike[str],
    *,
    column: str = "text",
    id: str | None = None,
    keep: Iterable[str] = (),
    input_format: str | None = None,
    format: str = "parquet",
    shard_rows: int = 65_536,
    resume: bool = True,
    shard: str | tuple[int, int] | None = None,
    on_error: str = "raise",
    engine: str = "local",
    workers: int | None = None,
    model_options: Mapping[str, Any] | None = None,
    precision: str | None = None,
    show_progress_bar: bool | None = None,
    **encode_options: Any,
) -> Manifest:
    """Encodes files of any size into a folder of parts, a shard of rows each, in bounded memory.

    Parts appear whole or not at all, and their bytes do not depend on which process wrote them: the same call again
    goes on where the last one ended, however it ended, and several processes may share the work (`shard`) or, by
    mistake, do the same. The folder holds `part-00000.parquet` and so on, `_manifest.json`, which says what the
    vectors depend on, and records of what is done. A folder of another job is an error that names the difference.

    Args:
        model: an encoder, or a folder or an id on the hub.
        sources: a path, a pattern (`data/*.parquet`), or several. Endings say how a file is read: .parquet, .jsonl,
            .csv, .tsv, .txt (a text a line). "-" is standard input, which is done in one go: it has no shares, and
            cannot be gone on with.
        output: the folder of parts, made if it is not there.
        column: the texts', of sources that have columns.
        id, keep: further columns that parts are to have, as they are; `id` is the first one.
        input_format: "text", "jsonl", "csv", "tsv" or "parquet", whatever the endings.
        format: of the parts. "parquet", "arrow" (IPC) and "jsonl" have the kept columns and "embedding"; "npy" is an
            array [rows, width], where a row without a vector is of NaN.
        shard_rows: rows of a part: part k begins at row k * shard_rows of all sources one after the other.
        resume: False refuses a folder that holds a job.
        shard: a share of the work, "0/16" to "15/16", one for each of as many processes or machines.
        on_error: of a row that is null, no text, not readable, or refused by the encoder: "raise" ends the job there,
            what is done staying done; "null" writes a null and counts it.
        engine: "local", or "ray" to spread the shards over a cluster of Ray, whose machines see sources and output.
        workers: of Ray; default: one a machine.
        model_options: of `SentenceEncoder.from_pretrained` if `model` is a name: dtype, device, num_threads...
        precision: "float32" (None), "float16", "binary" or "ubinary".
        show_progress_bar: None shows one on a terminal if it takes over a second.
        encode_options: of `SentenceEncoder.encode`: prompt, prompt_name, normalize_embeddings, truncate_dim, task,
            batch_size; on_truncate: "raise" makes a text that is too long a bad row.

    Returns:
        The manifest: `parts`, `rows`, `bad`, `is_complete`.

    Raises:
        InputError: options that do not fit each other; a column that is not there; a bad row; a file that is not what
            its ending says, or changed since the job was planned; another job in the folder.
        ImportError: without pyarrow, for Parquet and Arrow, or without ray.
        OSError: a file cannot be read or written.
        ConfigError, WeightsError, DeviceError, MemoryError: see `SentenceEncoder`.
    """
    settings = make_settings(
        column=column,
        id=id,
        keep=keep,
        format=format,
        shard_rows=shard_rows,
        on_error=on_error,
        precision=precision,
        options=encode_options,
    )
    share = read_share(shard)
    if engine not in ENGINES:
        raise InputError(f"engine: found {engine!r:.100}, expected one of {', '.join(ENGINES)}")
    if model_options and isinstance(model, SentenceEncoder):
        raise InputError(
            f"model_options: found {', '.join(model_options)} beside an encoder, which is loaded already; give them "
            "to SentenceEncoder.from_pretrained, or a name as the model"
        )
    named = name_sources(sources, input_format)
    folder = os.fspath(output)
    found = find_job(folder, resume)
    options = model_options or {}
    if named[0].path == STANDARD_INPUT:
        if share != (0, 1) or engine != "local" or found is not None:
            raise InputError(
                "sources: standard input is read once, by one process: it has no shares, other engines do not see it, "
                "and a job cannot be gone on with; save it to a file"
            )
        return encode_stream(
            LocalEngine(model, options, settings).worker, named[0], folder, settings, show_progress_bar
        )
    job = _plan(folder, named, settings, found)
    runner = _start(engine, workers, model, options, settings)
    try:
        job.fingerprint = runner.fingerprint
        if found is not None:
            check_same(found, job)
        job.done = begin(job)
        for each in (folder, os.path.join(folder, RECORDS)):
            remove_left_behind(each)
        if job.bad and on_error == "raise":
            raise InputError(f"{folder}: has rows without a vector already, which on_error='null' takes: {job.bad}")
        return _run(runner, job, share, show_progress_bar)
    finally:
        runner.close()


def _plan(folder: str, named: Sequence[Named], settings: Settings, found: Manifest | None) -> Manifest:
    """The job without its fingerprint, cut anew unless it was begun with the same files."""
    if found is not None:
        same_files = [source.named for source in found.sources] == list(named)
        if same_files and found.shard_rows == settings.shard_rows:
            for source in found.sources:
                source.check()
            return Manifest(folder, settings.format, {}, found.sources, found.shard_rows, found.shards)
    states = [SourceState.of(*each) for each in named]
    opened = []
    for each in named:
        opened.append(open_source(each, settings))
        opened[-1].check()
    return Manifest(folder, settings.format, {}, states, settings.shard_rows, plan(opened, settings.shard_rows))


def _start(name: str, workers: int | None, model: Model, options: Mapping[str, Any], settings: Settings) -> Engine:
    if name == "ray":
        from .ray_engine import RayEngine

        return RayEngine(model, options, settings, workers)
    if workers is not None:
        raise InputError("workers: is for engine='ray'; one process has all cores as it is (see `shard` for several)")
    return LocalEngine(model, options, settings)


def _run(engine: Engine, job: Manifest, share: tuple[int, int], show: bool | None) -> Manifest:
    numbers = [number for number in range(share[0], len(job.shards), share[1]) if job.done[number] is None]
    rows = sum(piece.rows for number in numbers for _, piece in job.shards[number])
    with Bar(rows, show, "Encoding", unit="row") as bar:
        for number, done in engine.run(job, numbers):
            job.done[number] = done
            bar.update(done.rows)
    # Those of other processes too; who finds the last part there writes the manifest that says so.
    job = Manifest.read(job.folder)
    if job.is_complete:
        job.write()
    return job
