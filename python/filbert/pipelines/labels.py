"""The labels that scores are of."""

from typing import Any

from ..configuration import PretrainedConfig
from ..errors import ConfigError


def label_names(config: PretrainedConfig) -> list[Any]:
    """The name of each label, by number. Raises ConfigError where id2label lacks one."""
    names = config.id2label or {}
    missing = [number for number in range(len(names)) if number not in names]
    if missing:
        raise ConfigError(f"id2label: found no label {missing[0]}, expected labels 0 to {len(names) - 1}")
    return [names[number] for number in range(len(names))]
