"""Sentence vectors in Ray Data: `dataset.map_batches(filbert.ray.Encoder, ...)`."""

import os
from collections.abc import Mapping
from typing import Any

from .arrow import encode
from .sentence.encoder import SentenceEncoder


class Encoder:
    """Adds a column of vectors to tables of Arrow; to be made once in each process.

        dataset.map_batches(
            filbert.ray.Encoder,
            fn_constructor_args=("sentence-transformers/all-MiniLM-L6-v2",),
            batch_format="pyarrow",
            batch_size=4096,
            compute=ray.data.ActorPoolStrategy(size=2),
        )

    A vector has the same bits in whatever batch it is made, so the same as in one process; among machines, if they
    have one instruction set (FILBERT_CPU_ISA forces one). The column is a fixed-size list, which other readers of
    what Ray writes know too.

    Args:
        model: a folder, or an id on the hub.
        column: the texts'.
        output_column: the vectors'; one of that name is replaced.
        model_options: of `SentenceEncoder.from_pretrained`: dtype, device, num_threads... `num_threads` should be what
            Ray counts for the process as `num_cpus`.
        encode_options: see `filbert.arrow.encode`.

    Raises:
        ImportError: without pyarrow.
        ConfigError, WeightsError, DeviceError, InputError, OSError: see `SentenceEncoder.from_pretrained`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        column: str = "text",
        output_column: str = "embedding",
        *,
        model_options: Mapping[str, Any] | None = None,
        **encode_options: Any,
    ) -> None:
        self._encoder = SentenceEncoder.from_pretrained(model, **(model_options or {}))
        self._column, self._output_column, self._options = column, output_column, encode_options

    def __call__(self, table: Any) -> Any:
        """A `pyarrow.Table` with the column of vectors. Raises KeyError without the column of texts, and InputError."""
        vectors = encode(self._encoder, table.column(self._column), **self._options)
        if self._output_column in table.column_names:
            table = table.drop_columns([self._output_column])
        return table.append_column(self._output_column, vectors)
