"""Shards to parts: what one process does, whoever tells it which shards."""

from collections.abc import Iterator, Sequence

from ..sentence.encoder import SentenceEncoder
from .arrow_writers import kept_types
from .fingerprint import fingerprint
from .manifest import Done, Manifest
from .parts import read_done, write_done
from .rows import Rows
from .settings import Settings
from .source import Columns, Source
from .sources import open_source
from .vectors import RowEncoder
from .whole_files import new_file
from .writers import open_writer


class Worker:
    """An encoder with the settings of a job. fingerprint: what its vectors depend on.

    Raises InputError for options that no text can be encoded with.
    """

    def __init__(self, encoder: SentenceEncoder, settings: Settings) -> None:
        self._settings = settings
        self._rows = RowEncoder(encoder, settings)
        self.fingerprint = fingerprint(encoder, settings)

    def encode(self, manifest: Manifest, number: int) -> Done:
        """Writes the part of a shard, unless it is there, and says what came of it.

        Raises InputError for bad rows, unless they are to be null, and for a source that has changed; OSError.
        """
        done = read_done(manifest, number)
        if done is not None:
            return done
        shard = manifest.shards[number]
        states = [manifest.sources[source] for source in dict.fromkeys(source for source, _ in shard)]
        for state in states:
            state.check()
        # The first source that has rows tells the types of columns to all parts.
        first = next((source for source, _ in manifest.shards[0]), 0)
        opened = {source: self._open(manifest, source) for source in [first, *(source for source, _ in shard)]}

        def read() -> Iterator[Rows]:
            for source, piece in shard:
                yield from opened[source].read(piece)
            for state in states:
                state.check()

        return self.write(manifest, number, read(), list(opened.values()))

    def _open(self, manifest: Manifest, source: int) -> Source:
        return open_source(manifest.sources[source].named, self._settings)

    def write(self, manifest: Manifest, number: int, pieces: Iterator[Rows], sources: Sequence[Columns]) -> Done:
        """Writes a part from rows, and its record. sources: of them; the first one tells the types of columns.

        Raises InputError, ImportError and OSError.
        """
        types = kept_types(sources, self._settings.kept) if self._settings.is_typed else {}
        count, bad = 0, dict[str, int]()
        described = {"filbert.job": manifest.digest, "filbert.shard": str(number)}
        path = manifest.part(number)
        with new_file(path) as output:
            try:
                rows_of = self._rows
                with open_writer(self._settings, output.file, rows_of.width, rows_of.dtype, types, described) as writer:
                    for rows in pieces:
                        writer.write(rows, *rows_of.encode(rows, bad))
                        count += len(rows.texts)
            except OSError as error:
                if error.filename is None:  # of the part; sources are named
                    raise OSError(error.errno, error.strerror or str(error), path) from None
                raise
            output.commit()
        return write_done(manifest, number, count, bad)
