"""Keywords of transformers' `from_pretrained` and `save_pretrained`: what they mean here, or why they are refused."""

from collections.abc import Mapping
from typing import Any

from .checks import integer
from .errors import InputError

# Those that change nothing here, whatever they say.
HARMLESS = frozenset().union(
    # How memory is used while weights are read; offloading is of parts that other devices have no room for.
    {"low_cpu_mem_usage", "_fast_init", "offload_folder", "offload_buffers", "offload_state_dict"},
    # Which kernels compute what the configuration says.
    {"attn_implementation", "experts_implementation", "use_kernels", "allow_all_kernels", "kernel_config"},
    {"use_flash_attention_2", "use_flash_attn", "use_memory_efficient_attention", "unpad_inputs"},
    # How files are fetched: downloads always go on where they stopped. What is pickled never runs.
    {"resume_download", "mirror", "tqdm_class", "weights_only"},
    # Code of a repository is never run, and text never generated.
    {"trust_remote_code", "code_revision", "generation_config"},
    # What the classes of transformers tell each other.
    {"_from_auto", "_from_pipeline", "_commit_hash"},
)

_FORMATS = "weights are read from safetensors files and from pytorch_model.bin"
_ONE_DEVICE = "a model is on one device, which device=... names"
_SMALL = "dtype='int8' or 'bfloat16' makes a model small, from its weights as they are"

# Those that would change what a model computes, or what somebody relies on, with the reason why they are not taken.
_REFUSED = {
    "ignore_mismatched_sizes": "a tensor of another size is an error: random numbers would replace it",
    "state_dict": "weights come from files: save them with the safetensors package, beside config.json",
    "key_mapping": "tensors are found by the names that transformers gives them; rename them in the file",
    "adapter_kwargs": "adapters are not applied; merge one into the weights (peft: model.merge_and_unload())",
    "fusion_config": "parts are not exchanged for others that compute something near",
    **dict.fromkeys(("from_tf", "from_flax", "gguf_file"), _FORMATS),
    **dict.fromkeys(("quantization_config", "load_in_8bit", "load_in_4bit"), _SMALL),
    **dict.fromkeys(("tp_plan", "tp_size", "device_mesh", "distributed_config", "max_memory"), _ONE_DEVICE),
    "proxies": "set HTTPS_PROXY, which the hub's library reads",
}

# Older names of keywords. Where both are given the newer one counts, as in transformers.
_OLDER = {"torch_dtype": "dtype", "use_auth_token": "token"}

# Those of save_pretrained: the value that changes nothing, as None does, and why no other is taken.
_SAVING = {
    "safe_serialization": (True, "weights are written as safetensors"),
    "push_to_hub": (False, "upload the folder with huggingface_hub"),
    "is_main_process": (True, "every call writes the files: call it in one process"),
    "state_dict": (None, "the weights that are written are the model's"),
    "variant": (None, "files have the usual names: rename them"),
}

# Values of device_map that leave the choice to the library; it has one device to choose.
_CHOOSING = ("auto", "balanced", "balanced_low_0", "sequential")


def own_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords by filbert's names, without those that change nothing; a `device_map` becomes `device`.

    Raises InputError for what cannot be honoured, unless it is None, False or empty.
    """
    own = {key: value for key, value in keywords.items() if key not in HARMLESS}
    for key in [key for key in own if key in _REFUSED]:
        value = own.pop(key)
        if value is not None and value is not False and value != {}:
            raise InputError(f"{key}: found {value!r:.100}; {_REFUSED[key]}")
    for older, name in _OLDER.items():
        value = own.pop(older, None)
        if value is not None and own.get(name) is None:
            own[name] = value
    device_map = own.pop("device_map", None)
    if device_map is not None:
        if own.get("device") is not None:
            raise InputError(f"device_map: found {device_map!r:.100} beside device={own['device']!r}, expected one")
        own["device"] = _only_device(device_map)
    return own


def check_saving_keywords(keywords: Mapping[str, Any]) -> None:
    """Raises InputError for what saving cannot honour, and TypeError for what no `save_pretrained` takes."""
    unknown = sorted(keywords.keys() - _SAVING.keys() - {"token", "use_auth_token"})
    if unknown:
        raise TypeError(f"save_pretrained() got unexpected keyword arguments: {', '.join(unknown)}")
    for key in keywords.keys() & _SAVING.keys():
        usual, reason = _SAVING[key]
        if keywords[key] is not None and keywords[key] != usual:
            raise InputError(f"{key}: found {keywords[key]!r:.100}; {reason}")


def _only_device(device_map: Any) -> str:
    """The device that all parts of a model are mapped to."""
    values = list(device_map.values()) if isinstance(device_map, Mapping) else [device_map]
    devices = list(dict.fromkeys(map(_device_name, values)))
    if len(devices) != 1:
        found = " and ".join(map(repr, devices)) or "no device"
        raise InputError(f"device_map: found {found}, expected one device: a model is not split over several")
    return devices[0]


def _device_name(value: Any) -> str:
    """A device in the words of `from_pretrained`, of a name, the number of a GPU or a device of PyTorch."""
    number = integer(value)
    if number is not None:
        return f"cuda:{number}"
    name = str(value)
    return "auto" if name in _CHOOSING else name
