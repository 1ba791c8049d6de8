"""The model classes, and `AutoModel`, which chooses one by the configuration.

A new architecture is a class with its `config_class`, and its name in MODELS.
"""

import os
from typing import Any

from .configuration import AutoConfig, BertConfig, PretrainedConfig
from .encoder import EncoderModel
from .hub import Source
from .model_settings import load_config

__all__ = ["MODELS", "AutoModel", "BertModel", "EncoderModel"]

_HUB_KEYWORDS = ("revision", "subfolder", "cache_dir", "token", "local_files_only", "force_download", "variant")


class BertModel(EncoderModel):
    """BERT without a head (https://arxiv.org/abs/1810.04805)."""

    config_class = BertConfig


MODELS: dict[str, type[EncoderModel]] = {model.config_class.model_type: model for model in (BertModel,)}


class AutoModel:
    """Chooses the model class by the `model_type` of the configuration."""

    def __init__(self) -> None:
        raise TypeError("AutoModel is not instantiated: use AutoModel.from_pretrained or AutoModel.from_config")

    @staticmethod
    def from_config(config: PretrainedConfig, **kwargs: Any) -> EncoderModel:
        """A model with random weights; the keywords are those of the class (`seed`, `dtype`, `device`...)."""
        if not isinstance(config, PretrainedConfig):
            raise TypeError(f"AutoModel.from_config takes a configuration, found {type(config).__name__}")
        return _class_for(config)(config, **kwargs)

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str], *, add_pooling_layer: bool | None = None, **kwargs: Any
    ) -> EncoderModel:
        """See `EncoderModel.from_pretrained`. A checkpoint without a pooler loads without one, with a warning."""
        config = kwargs.pop("config", None)
        if config is None:
            source = Source(
                pretrained_model_name_or_path, **{key: kwargs[key] for key in _HUB_KEYWORDS if key in kwargs}
            )
            config = load_config(AutoConfig, source)
            kwargs["revision"] = source.revision
        return _class_for(config).from_pretrained(
            pretrained_model_name_or_path, config=config, add_pooling_layer=add_pooling_layer, **kwargs
        )


def _class_for(config: PretrainedConfig) -> type[EncoderModel]:
    model_class = MODELS.get(config.model_type)
    if model_class is None:
        raise TypeError(f"AutoModel has no model for {type(config).__name__}; it has {', '.join(sorted(MODELS))}")
    return model_class
