"""What people call on a model by habit of PyTorch: done where it means something, else refused with the reason."""

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .checks import integer

Model = TypeVar("Model", bound="ModuleHabits")

_NO_TRAINING = "filbert runs models and does not train them"
_NO_MODULES = "the layers live in C++ and are not Python modules; state_dict() gives the weights as arrays"
# What people call by habit and filbert does not have: raised as the message of the AttributeError.
_ABSENT = {
    **dict.fromkeys(("parameters", "named_parameters", "buffers", "modules", "children", "apply"), _NO_MODULES),
    **dict.fromkeys(("encoder", "embeddings", "pooler", "get_input_embeddings"), _NO_MODULES),
    **dict.fromkeys(
        ("classifier", "pre_classifier", "base_model", "bert", "roberta", "distilbert", "mpnet"), _NO_MODULES
    ),
    **dict.fromkeys(("requires_grad_", "zero_grad", "gradient_checkpointing_enable"), _NO_TRAINING),
    **dict.fromkeys(
        ("load_state_dict", "set_input_embeddings", "resize_token_embeddings"),
        "weights are fixed once loaded; change the files and load them with from_pretrained",
    ),
    "generate": "filbert runs encoders, which do not generate text",
    "push_to_hub": "save_pretrained, then upload the folder with huggingface_hub",
}


class ModuleHabits:
    """The methods of `torch.nn.Module` that make sense for a model that is not trained."""

    def to(self: Model, *args: Any, device: Any = None, dtype: Any = None) -> Model:
        raise NotImplementedError

    def eval(self: Model) -> Model:
        """Returns the model: it is always in this mode."""
        return self

    def train(self: Model, mode: bool = True) -> Model:
        """Raises NotImplementedError, unless `mode` is false."""
        if mode:
            raise NotImplementedError(_NO_TRAINING)
        return self

    def cpu(self: Model) -> Model:
        return self.to("cpu")

    def cuda(self: Model, device: int | str | None = None) -> Model:
        """Moves the model to a GPU. Raises DeviceError if that cannot be."""
        return self.to("cuda" if device is None else f"cuda:{device}" if integer(device) is not None else device)

    def float(self: Model) -> Model:
        return self.to(dtype="float32")

    def half(self: Model) -> Model:
        return self.to(dtype="float16")

    def bfloat16(self: Model) -> Model:
        return self.to(dtype="bfloat16")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            reason = f": {_ABSENT[name]}" if name in _ABSENT else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{reason}")
