"""Standard input to parts: cut as rows come, since it cannot be planned."""

from collections.abc import Iterator

from ..progress import Bar
from .folder import begin
from .manifest import Manifest
from .plan import Piece
from .rows import Rows
from .settings import Settings
from .source import Named
from .sources import open_stream
from .worker import Worker


def encode_stream(worker: Worker, named: Named, folder: str, settings: Settings, show: bool | None) -> Manifest:
    """Encodes standard input. Raises InputError and OSError."""
    source = open_stream(named, settings)
    source.check()
    job = Manifest(folder, settings.format, worker.fingerprint, [], settings.shard_rows, [])
    begin(job)
    shards = _Shards(source.read(), settings.shard_rows)
    first = 0
    with Bar(None, show, "Encoding", unit="row") as bar:
        # As of files, there is a first part even if it is empty.
        while not job.shards or shards.has_more():
            done = worker.write(job, len(job.shards), shards.next(), [source])
            job.shards.append([(0, Piece(0, 0, first, done.rows))])
            job.done.append(done)
            first += done.rows
            bar.update(done.rows)
    job.write()
    return job


class _Shards:
    """Rows, cut where a shard ends."""

    def __init__(self, pieces: Iterator[Rows], shard_rows: int) -> None:
        self._pieces, self._shard_rows = pieces, shard_rows
        self._rest: Rows | None = None

    def has_more(self) -> bool:
        if self._rest is None:
            self._rest = next(self._pieces, None)
        return self._rest is not None

    def next(self) -> Iterator[Rows]:
        """The rows of one shard."""
        room = self._shard_rows
        while room and self.has_more():
            rows, self._rest = self._rest, None
            assert rows is not None
            if len(rows.texts) > room:
                self._rest = rows.part(room, len(rows.texts))
                rows = rows.part(0, room)
            room -= len(rows.texts)
            yield rows
