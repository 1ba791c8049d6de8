"""Classes that choose the class of a family by the `model_type` of a configuration."""

import os
from typing import Any, ClassVar

from .configuration import PretrainedConfig, from_file
from .encoder import EncoderModel
from .errors import ConfigError
from .hub import Source, hub_keywords
from .loading_keywords import own_keywords
from .model_settings import load_config
from .models import class_of, has_decoder, having

# Models of texts and more -> what their texts are by themselves.
_TEXTS_OF = {"embedding_gemma2": "embedding_gemma2_text"}


class AutoConfig:
    """Chooses the configuration class by the `model_type` of config.json."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is not instantiated: use AutoConfig.from_pretrained or AutoConfig.for_model")

    @staticmethod
    def for_model(model_type: str | None, **kwargs: Any) -> PretrainedConfig:
        """A configuration of that type. Raises ConfigError if filbert does not have it."""
        texts = _TEXTS_OF.get(model_type, model_type) if isinstance(model_type, str) else model_type
        config_class = class_of(texts, "Config")
        if config_class is None:
            raise ConfigError(f"model_type: found {model_type!r}, supported: {', '.join(having('Config'))}")
        config: PretrainedConfig = config_class(**kwargs)
        return config

    @staticmethod
    def from_json_file(json_file: str | os.PathLike[str]) -> PretrainedConfig:
        """See `PretrainedConfig.from_json_file`; the file must say its model_type."""
        return from_file(_new_config, json_file)

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """See `PretrainedConfig.from_pretrained`."""
        return _AnyConfig.from_pretrained(pretrained_model_name_or_path, **kwargs)


class _AnyConfig(PretrainedConfig):
    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Any:
        return AutoConfig.from_json_file(json_file)


def _new_config(**values: Any) -> PretrainedConfig:
    if "model_type" not in values:
        from .models.xlm_roberta import XLMRobertaConfig, is_jinas

        if is_jinas(values):
            return XLMRobertaConfig(**values)
    return AutoConfig.for_model(values.pop("model_type", None), **values)


class _AutoModel:
    """What the classes below do."""

    kind: ClassVar[str]  # what the names of the classes end in that it chooses from
    defaults: ClassVar[dict[str, Any]] = {}  # where they differ from those of the class

    def __init__(self) -> None:
        name = type(self).__name__
        raise TypeError(f"{name} is not instantiated: use {name}.from_pretrained or {name}.from_config")

    @classmethod
    def from_config(cls, config: PretrainedConfig, **kwargs: Any) -> Any:
        """A model with random weights; the keywords are those of the class (`seed`, `dtype`, `device`...).

        Those of transformers that change nothing here are taken too. Raises InputError for others.
        """
        return cls._class_for(config)(config, **own_keywords(kwargs))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Any:
        """See `EncoderModel.from_pretrained`."""
        kwargs = {**cls.defaults, **own_keywords(kwargs)}
        config = kwargs.pop("config", None)
        if config is None:
            source = Source(pretrained_model_name_or_path, **hub_keywords(kwargs))
            config = load_config(AutoConfig, source, cls.__name__)
            kwargs["revision"] = source.revision
        return cls._class_for(config).from_pretrained(pretrained_model_name_or_path, config=config, **kwargs)

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[EncoderModel]:
        if not isinstance(config, PretrainedConfig):
            raise TypeError(f"{cls.__name__} takes a configuration, found {type(config).__name__}")
        model_class: type[EncoderModel] | None = class_of(config.model_type, cls.kind)
        if model_class is None:
            why = ", whose decoder filbert does not compute" if has_decoder(config.model_type) else ""
            raise ConfigError(
                f"{cls.__name__} has no model for {type(config).__name__}{why}; it has {', '.join(having(cls.kind))}"
            )
        return model_class


class AutoModel(_AutoModel):
    """The base model. A checkpoint without the pooler that its family has loads without one, with a warning.

    Of T5, mT5 and umT5 it is the encoder (`T5EncoderModel`), where transformers gives encoder and decoder (`T5Model`).
    """

    kind = "Model"
    defaults: ClassVar[dict[str, Any]] = {"add_pooling_layer": None}


class AutoModelForTextEncoding(AutoModel):
    """`AutoModel` by another name: in transformers, whose `AutoModel` of T5 has a decoder, this one has the encoder."""


class AutoModelForSequenceClassification(_AutoModel):
    """Logits for a whole text. A checkpoint without that head is an error, never a head with random weights."""

    kind = "ForSequenceClassification"


class AutoModelForTokenClassification(_AutoModel):
    """Logits for each token. A checkpoint without that head is an error."""

    kind = "ForTokenClassification"


class AutoModelForQuestionAnswering(_AutoModel):
    """For each token the logits that an answer begins and ends there. A checkpoint without that head is an error."""

    kind = "ForQuestionAnswering"


class AutoModelForMaskedLM(_AutoModel):
    """Logits over the vocabulary for each token. A checkpoint without that head is an error."""

    kind = "ForMaskedLM"


class AutoModelForNextToken(_AutoModel):
    """Logits of the token that follows a text, of the tokens `next_token_ids`."""

    kind = "ForNextToken"
