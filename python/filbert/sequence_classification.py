"""Models that classify whole texts."""

from typing import Any, ClassVar

from .encoder import EncoderModel
from .outputs import SequenceClassifierOutput


class ForSequenceClassification(EncoderModel):
    """An encoder with logits for each text: [batch, labels], `config.id2label` names them.

    Only what the head reads is computed in the last layer.
    """

    task: ClassVar[str] = "sequence-classification"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    refused_inputs: ClassVar[dict[str, str]] = {
        **EncoderModel.refused_inputs,
        "labels": "a loss is for training, and filbert runs models",
    }

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(head, states, attentions)
