"""Models without a head of a task."""

from typing import Any, ClassVar

from .encoder import EncoderModel
from .outputs import BaseModelOutputWithPooling


class BaseModel(EncoderModel):
    """An encoder: its hidden states, and what its family computes from the first token, if anything."""

    task: ClassVar[str] = "model"
    auto_class: ClassVar[str] = "AutoModel"

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last, head, states, attentions)
