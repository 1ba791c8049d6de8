"""What every model does: loading, calling, saving, and the methods people expect of `transformers.PreTrainedModel`."""

import copy
import os
import warnings
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import numpy.typing as npt

from . import _core
from .atomic import FileSet
from .checks import optional_count
from .configuration import PretrainedConfig, override
from .errors import DeviceError, InputError
from .habits import ModuleHabits
from .hub import Source
from .interop import places_of, prepare
from .libraries import like
from .loading_keywords import check_saving_keywords, own_keywords
from .loading_report import loading_info, warn_about_tensors
from .model_settings import load_config, refuse_adapter, warn_about_settings
from .outputs import ModelOutput
from .pickling import Referable
from .weights import Entry, as_array, digest, open_weights, random_weights, remove_stale_weights, save_weights

Model = TypeVar("Model", bound="EncoderModel")

_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}

# What the engine counts threads in.
_MOST_THREADS = 2**31 - 1

# What the names of embeddings end in.
_EMBEDDINGS = ("_embeddings.weight", "embed_tokens.weight", "relative_attention_bias.weight", "shared.weight")

# Arguments of BertModel.forward in transformers that filbert cannot honour.
_REFUSED_INPUTS = {
    "inputs_embeds": "only input_ids are taken",
    "head_mask": "heads cannot be masked",
    "encoder_hidden_states": "cross-attention is for decoders, filbert runs encoders",
    "encoder_attention_mask": "cross-attention is for decoders, filbert runs encoders",
    "past_key_values": "caching is for decoders, filbert runs encoders",
    "use_cache": "caching is for decoders, filbert runs encoders",
}


class EncoderModel(Referable, ModuleHabits):
    """An encoder with the interface of `transformers.PreTrainedModel`, for inference.

    Immutable apart from `to`, and safe to call from many threads. A subclass sets `config_class`, and `task` to the
    engine's name for what it is used for.
    """

    config_class: ClassVar[type[PretrainedConfig]]
    task: ClassVar[str]
    auto_class: ClassVar[str]  # what chooses among the classes of the task
    refused_inputs: ClassVar[dict[str, str]] = _REFUSED_INPUTS
    main_input_name: ClassVar[str] = "input_ids"
    training: ClassVar[bool] = False

    config: PretrainedConfig

    def __init__(
        self,
        config: PretrainedConfig,
        add_pooling_layer: bool = True,
        seed: int | None = None,
        dtype: Any = None,
        device: Any = "cpu",
        num_threads: int | None = None,
    ) -> None:
        """A model with random weights, drawn as transformers draws them; the same weights for the same `seed`.

        dtype: what the model computes in: "float32", "bfloat16" or "int8" (on the CPU), or such a dtype of PyTorch or
            NumPy; None is float32, "auto" the dtype of the weights.
        device: "cpu", "cuda", "cuda:1" or "auto". num_threads: None for FILBERT_NUM_THREADS or all usable cores.
        Raises ConfigError, DeviceError and MemoryError.
        """
        if not self._is_own(config):
            raise TypeError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, found {type(config).__name__}; "
                f"use {type(self).__name__}.from_pretrained(name) to load weights"
            )
        self._choose_head(add_pooling_layer)
        weights = random_weights(config, seed, self._task)
        self._open(config, weights, dtype, device, num_threads)

    @classmethod
    def from_pretrained(
        cls: type[Model],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: PretrainedConfig | None = None,
        add_pooling_layer: bool | None = True,
        dtype: Any = None,
        device: Any = None,
        num_threads: int | None = None,
        revision: str | None = None,
        subfolder: str = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
        mmap: bool = True,
        use_safetensors: bool | None = None,
        output_loading_info: bool = False,
        task: str | None = None,
        **others: Any,
    ) -> Model:
        """Loads a model from a folder or from the hub: model.safetensors or pytorch_model.bin, sharded or not.

        add_pooling_layer: of a base model: True needs a pooler in the weights, False leaves it out, None loads it if it
            is there. A family that has none has none either way.
        device: None is the CPU, or what `device_map` says. dtype, num_threads: see the class.
        mmap: False copies the weights file, for files that another program may write into while the model lives.
        use_safetensors: True reads safetensors only, False pytorch_model.bin only.
        output_loading_info: True returns the model and a dict: "missing_keys", "unexpected_keys" and "mismatched_keys"
            are sets of names of tensors, "error_msgs" is a list. Only the second may hold any: tensors that are missing
            or of another size are a WeightsError.
        task: of a checkpoint with an adapter for each of some tasks (jina-embeddings-v3: "retrieval.query"), the one
            whose adapter is added to the weights; None adds none.
        others: replace attributes of the configuration (`output_hidden_states=True`). Those of transformers that change
            nothing here are taken (`low_cpu_mem_usage`, `attn_implementation`, `trust_remote_code`: code of a
            repository is never run), and those that would change results are an InputError.
        Settings that filbert does not know give one warning, and tensors of the file that the model does not use.
        Raises ConfigError, WeightsError, InputError, DeviceError, OSError and MemoryError.
        """
        others = own_keywords({"dtype": dtype, "device": device, "token": token, **others})
        dtype, device, token = (others.pop(name) for name in ("dtype", "device", "token"))
        device = "cpu" if device is None else device
        source = Source(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
            variant=variant,
        )
        if config is None:
            config = load_config(cls.config_class, source, cls.auto_class)
        elif cls._is_own(config):
            config = copy.deepcopy(config)
        else:
            raise TypeError(f"{cls.__name__} takes a {cls.config_class.__name__}, found {type(config).__name__}")
        warn_about_settings(config, subfolder, cls.auto_class)
        config.name_or_path = source.name
        if task is not None:
            if not vars(config).get("lora_adaptations"):
                raise InputError(f"task: found {task!r}, but {source.name} has no adapters for tasks")
            vars(config)["task"] = task
        unknown = override(config, others)
        if unknown:
            raise TypeError(f"from_pretrained() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
        refuse_adapter(source)
        path = source.weights(use_safetensors)
        model = cls.__new__(cls)
        model._choose_head(add_pooling_layer)
        model._open(config, open_weights(path, mmap), dtype, device, num_threads)
        base = model._task == "model"
        warn_about_tensors(cls.__name__, source.name, model._match, base, base and add_pooling_layer is None)
        keywords = {
            "add_pooling_layer": add_pooling_layer,
            "num_threads": num_threads,
            "revision": source.revision,
            "subfolder": subfolder,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "variant": variant,
            "mmap": mmap,
            "use_safetensors": use_safetensors,
        }
        model._refer_to(source.name, keywords)
        # As in transformers, whose annotation has the model alone too.
        return cast(Model, (model, loading_info(model._match))) if output_loading_info else model

    @classmethod
    def _load(cls, name: str, **keywords: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given where it was pickled
            return cls.from_pretrained(name, **keywords)

    def _now(self) -> dict[str, Any]:
        return {"config": self.config, "dtype": self.dtype, "device": self.device}

    @classmethod
    def _is_own(cls, config: Any) -> bool:
        # A family's configuration may derive from another's, as RoBERTa's from BERT's.
        return isinstance(config, cls.config_class) and config.model_type == cls.config_class.model_type

    def _choose_head(self, add_pooling_layer: bool | None) -> None:
        self._task, self._require_head = self.task, True
        if self.task == "model":
            self._task = "encoder" if add_pooling_layer is False else "model"
            self._require_head = add_pooling_layer is True
        elif add_pooling_layer is not True:
            raise TypeError(f"{type(self).__name__} has no keyword add_pooling_layer: it is for base models")

    def _open(
        self,
        config: PretrainedConfig,
        weights: _core.Weights,
        dtype: Any,
        device: Any,
        num_threads: int | None,
    ) -> None:
        self._num_threads = optional_count("num_threads", num_threads, _MOST_THREADS) or 0
        self.config = config
        self._config_json = config.to_json_string()
        self._weights = weights
        source = os.fsencode(config.name_or_path or "config")
        self._match = _core.match_tensors(self._config_json, weights, self._task, self._require_head, source)
        stored = self._stored_dtype()
        try:
            self._start(dtype_name(dtype, stored), str(device))
        except DeviceError as error:
            if str(dtype) != "auto":
                raise
            raise DeviceError(f'{error}; dtype="auto" is {stored}, as the weights are stored') from None

    def _start(self, dtype: str, device: str) -> None:
        """Packs the weights for a dtype and a device. Leaves the model as it was if that fails."""
        self._engine = _core.Model(
            self._config_json,
            self._weights,
            device=device,
            dtype=dtype,
            num_threads=self._num_threads,
            task=self._task,
            require_head=self._require_head,
        )
        self._dtype = dtype

    def _stored_dtype(self) -> str:
        return _DTYPES[self._weights.dtype(self._match.tensors[0][1])]

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **others: Any,
    ) -> Any:
        """Runs the encoder.

        input_ids: [batch, seq] integers: nested lists (rows may differ in length), NumPy, PyTorch, CuPy or DLPack.
        attention_mask: [batch, seq], zero at tokens to leave out; None: every token of every row counts.
        token_type_ids, position_ids: [batch, seq] or [1, seq]; None: zeros, and 0, 1, 2... (in the column's order). The
            types of a model that has none are 0 and 1, and ignored.
        output_hidden_states, output_attentions, return_dict: None takes what the configuration says.

        Returns the outputs of the task (`filbert.outputs`), or the tuple of what they hold if `return_dict` is false:
        tensors of PyTorch or arrays of CuPy where the first such argument is, else NumPy arrays. A row with no unmasked
        token gives zeros, an empty batch an empty result. Raises InputError (with row and column for ids out of range)
        and MemoryError.
        """
        if "positions" in others:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument 'positions'")
        return self._call(
            (input_ids, attention_mask, token_type_ids, position_ids),
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=return_dict,
            **others,
        )

    forward = __call__

    def _call(
        self,
        arguments: tuple[Any, Any, Any, Any],
        *,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        positions: Any = None,
        **others: Any,
    ) -> Any:
        """See `__call__`. positions: of a head with a row a token, those [n, 2] whose rows are wanted."""
        for name, value in others.items():
            if name not in self.refused_inputs:
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {name!r}")
            if value is not None and value is not False:
                raise InputError(f"{name}: {self.refused_inputs[name]}")
        config = self.config
        with_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        with_attentions = config.output_attentions if output_attentions is None else output_attentions
        inputs = prepare(*arguments)
        head_tokens = None if positions is None else places_of(positions, inputs)
        pattern = next(filter(None, map(like, arguments)), None)
        allocate = None
        if pattern is not None and pattern.device == self.device != "cpu" and not with_attentions:
            # Results stay on the GPU; attentions and logits over a vocabulary come through host memory.
            allocate = None if self.task == "masked-lm" else pattern.zeros
        last, head, states, attentions = self._engine.forward(
            *inputs, self.task == "model", bool(with_states), bool(with_attentions), allocate, head_tokens
        )
        output = self._output(
            last, head, None if states is None else tuple(states), None if attentions is None else tuple(attentions)
        )
        if pattern is not None and allocate is None:
            output = output.map(pattern.from_numpy)
        return output if (config.return_dict if return_dict is None else return_dict) else output.to_tuple()

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> ModelOutput:
        raise NotImplementedError

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *, max_shard_size: int | str = "50GB", **others: Any
    ) -> None:
        """Writes config.json and model.safetensors (above `max_shard_size`: shards and an index) for transformers.

        Tensors keep the dtype and the bytes that they were loaded with. Everything is written beside the old files
        and then renamed over them: after a failure, such as a full disk, the old ones are intact. The folder may be
        the one the model was loaded from. others: keywords of transformers that change nothing here
        (`safe_serialization=True`, `push_to_hub=False`). Raises OSError and InputError.
        """
        check_saving_keywords(others)
        folder = os.fspath(save_directory)
        os.makedirs(folder, exist_ok=True)
        with FileSet(folder) as files:
            written = self.write(files, max_shard_size)
            files.commit()
        remove_stale_weights(folder, written)

    def write(self, files: FileSet, max_shard_size: int | str = "50GB") -> list[str]:
        """Creates the files of `save_pretrained` in a set of them, and gives the names of those of the weights.

        Raises OSError and InputError.
        """
        config = self._saved_config()
        weights = self._weights
        entries = [
            Entry(name, weights.dtype(source), weights.shape(source), weights.data(source))
            for name, source in self._match.tensors
        ]
        with files.create("config.json") as file:
            file.write(config.to_json_string().encode())
        return save_weights(files, entries, max_shard_size)

    def _saved_config(self) -> PretrainedConfig:
        config = copy.deepcopy(self.config)
        config.architectures = [type(self).__name__]
        config.dtype = self._stored_dtype()
        return config

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """The weights by the names of transformers, as read-only NumPy views; BF16 as float32 copies.

        Frequencies that a file of ESM stores are among them, by the name that the file has.
        """
        return {name: as_array(self._weights, source) for name, source in self._match.tensors}

    def weights_digest(self) -> str:
        """SHA-256, in hex, of the tensors of `state_dict`, by name: the same whatever file they came from."""
        return digest(self._weights, self._match.tensors)

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers `state_dict` has. `only_trainable` has no effect: none is frozen, and none is trained."""
        return sum(
            int(np.prod(self._weights.shape(source)))
            for name, source in self._match.tensors
            if not (exclude_embeddings and name.endswith(_EMBEDDINGS))
        )

    def to(self: Model, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Model:
        """Moves the model to a device, or to another dtype, in either order. Raises DeviceError and InputError.

        non_blocking: also by place; changes nothing: the model is there when this returns.
        """
        for argument in args:
            if isinstance(argument, bool):
                continue
            name = str(argument)
            if isinstance(argument, type) or name.startswith("torch.") or name in (*_DTYPES.values(), "int8"):
                dtype = argument
            elif argument is not None:
                device = argument
        new_dtype = self._dtype if dtype is None else dtype_name(dtype, self._stored_dtype())
        new_device = self.device if device is None else "cuda:0" if str(device) == "cuda" else str(device)
        if (new_dtype, new_device) != (self._dtype, self.device):
            self._start(new_dtype, new_device)
        return self

    def embed(
        self, ids: Any, cu_seqlens: Any, pooling: str = "mean", normalize: bool = False
    ) -> npt.NDArray[np.float32]:
        """One vector a sequence of a packed batch, pooled from the last hidden state: [sequences, hidden].

        ids: int64 [tokens]. cu_seqlens: int64 [sequences + 1], from 0 to the number of tokens. pooling: "cls", "mean",
        "max" or "lasttoken". normalize: to length 1. An empty sequence gives zeros. Raises InputError and MemoryError.
        """
        return self._engine.embed(ids, cu_seqlens, pooling, normalize)

    def run_packed(
        self, ids: Any, cu_seqlens: Any, token_type_ids: Any = None, rows: Any = None, query_only: Any = None
    ) -> npt.NDArray[np.float32]:
        """What the model gives for a packed batch: the rows of its head, or of a base model the last hidden state.

        ids, token_type_ids: int64 [tokens]; no types are zeros. cu_seqlens: int64 [sequences + 1], from 0 to the number
        of tokens. rows: of a head with a row a token, int64 [n]: the tokens whose rows are wanted; None: all.
        query_only: int64 [sequences]: how many of its last tokens attend to the others, and no token to them; None: 0.

        Returns float32 [sequences, width], or [tokens, width] if `is_per_token`, or [n, width].
        Raises InputError and MemoryError.
        """
        return self._engine.run(ids, cu_seqlens, token_type_ids, rows, self.task != "model", query_only)

    @property
    def is_per_token(self) -> bool:
        """Whether `run_packed` gives a row a token, not one a sequence."""
        return self.task == "model" or self._engine.head_per_token

    @property
    def vocabulary(self) -> int:
        """How many tokens it has vectors for: ids are below."""
        return self._engine.vocabulary

    @property
    def hidden_size(self) -> int:
        """Numbers of a token vector."""
        return self._engine.hidden_size

    @property
    def max_positions(self) -> int:
        """Tokens of the longest sequence, as the configuration has it."""
        return self._engine.max_positions

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest sequence that it takes: above `max_positions` where no table has positions."""
        return self._engine.max_tokens

    @property
    def isa(self) -> str:
        """The instruction set, or compute capability, in use."""
        return self._engine.isa

    @property
    def num_threads(self) -> int:
        return self._engine.threads

    @property
    def dtype(self) -> str:
        """What the model computes in, such as "float32"."""
        return self._dtype

    @property
    def device(self) -> str:
        return self._engine.device

    @property
    def name_or_path(self) -> str:
        return self.config.name_or_path

    def __copy__(self: Model) -> Model:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self: Model, memo: dict[int, Any]) -> Model:
        twin = copy.copy(self)
        twin.config = copy.deepcopy(self.config, memo)
        return twin

    def _head_text(self) -> str:
        width = self._engine.head_width
        if self.task != "model":
            return f"{width} {'labels' if 'classification' in self.task else 'logits'}"
        return "pooler" if width else "no pooler"

    def __repr__(self) -> str:
        engine = self._engine
        return (
            f"{type(self).__name__}({engine.layers} layers, hidden size {engine.hidden_size}, {engine.heads} heads, "
            f"{_count(self.num_parameters())} parameters, {self._head_text()}, {self.dtype}, "
            f"{engine.device} {engine.isa}, {engine.threads} thread{'s' if engine.threads != 1 else ''})"
        )


def dtype_name(dtype: Any, stored: str) -> str:
    """float32 for None, the stored one for "auto", else the name of a torch or NumPy dtype, or of a string."""
    if dtype is None:
        return "float32"
    if isinstance(dtype, type):
        dtype = np.dtype(dtype)
    name = str(dtype).removeprefix("torch.")
    return stored if name == "auto" else name


def _count(number: int) -> str:
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f}{unit}"
    return str(number)
