"""Models with a head of a task."""

import copy
import os
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from .configuration import PretrainedConfig
from .encoder import EncoderModel
from .hub import Source, hub_keywords
from .model_settings import load_config
from .outputs import (
    MaskedLMOutput,
    NextTokenOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

NextToken = TypeVar("NextToken", bound="ForNextToken")

_NO_LOSS = "a loss is for training, and filbert runs models"


class TaskModel(EncoderModel):
    """An encoder with a head."""

    refused_inputs: ClassVar[dict[str, str]] = {
        **EncoderModel.refused_inputs,
        **dict.fromkeys(("labels", "start_positions", "end_positions"), _NO_LOSS),
    }


class ForSequenceClassification(TaskModel):
    """An encoder with logits for each text: [batch, labels], `config.id2label` names them.

    Only what the head reads is computed in the last layer.
    """

    task: ClassVar[str] = "sequence-classification"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(head, states, attentions)


class ForTokenClassification(TaskModel):
    """An encoder with logits for each token: [batch, seq, labels], `config.id2label` names them.

    Those of masked tokens are zero.
    """

    task: ClassVar[str] = "token-classification"
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> TokenClassifierOutput:
        return TokenClassifierOutput(head, states, attentions)


class ForQuestionAnswering(TaskModel):
    """An encoder with two logits for each token: that an answer begins there, and that it ends there.

    Those of masked tokens are zero.
    """

    task: ClassVar[str] = "question-answering"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> QuestionAnsweringModelOutput:
        return QuestionAnsweringModelOutput(head[..., 0], head[..., 1], states, attentions)


class ForMaskedLM(TaskModel):
    """An encoder with logits over the vocabulary for each token, or for those that are asked for."""

    task: ClassVar[str] = "masked-lm"
    auto_class: ClassVar[str] = "AutoModelForMaskedLM"

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        *,
        positions: Any = None,
        **options: Any,
    ) -> Any:
        """Runs the encoder and its head; see `EncoderModel.__call__`.

        positions: None, or integers [n, 2]: the row and the column of each token whose logits are wanted, as
        `np.argwhere(input_ids == tokenizer.mask_token_id)` gives them. Others are then not computed.

        Returns a MaskedLMOutput: logits [batch, seq, vocabulary], zero at masked tokens, or [n, vocabulary].
        Raises InputError, also for positions outside the batch or masked.
        """
        return self._call((input_ids, attention_mask, token_type_ids, position_ids), positions=positions, **options)

    forward = __call__

    def max_logits(self, ids: Any, cu_seqlens: Any, token_type_ids: Any = None) -> npt.NDArray[np.float32]:
        """The largest logit of each word among the tokens of a sequence: [sequences, vocabulary].

        A matrix of all tokens is never made. ids, cu_seqlens: see `embed`. An empty sequence gives zeros.
        Raises InputError and MemoryError.
        """
        return self._engine.max_head(ids, cu_seqlens, token_type_ids)

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> MaskedLMOutput:
        return MaskedLMOutput(head, states, attentions)


class ForNextToken(TaskModel):
    """A causal encoder with logits of the token that follows a text, of a few tokens only: [batch, tokens].

    What rerankers that were language models are asked: "yes" or "no".
    """

    task: ClassVar[str] = "next-token"
    auto_class: ClassVar[str] = "AutoModelForNextToken"

    @classmethod
    def from_pretrained(
        cls: type[NextToken],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        next_token_ids: Sequence[int] = (),
        config: PretrainedConfig | None = None,
        **kwargs: Any,
    ) -> NextToken:
        """See `EncoderModel.from_pretrained`. next_token_ids: the tokens whose logits are wanted, one at least."""
        if config is None:
            source = Source(pretrained_model_name_or_path, **hub_keywords(kwargs))
            config = load_config(cls.config_class, source, cls.auto_class)
        config = copy.deepcopy(config)
        vars(config)["next_token_ids"] = list(next_token_ids)
        return super().from_pretrained(pretrained_model_name_or_path, config=config, **kwargs)

    def _now(self) -> dict[str, Any]:
        return {**super()._now(), "next_token_ids": vars(self.config)["next_token_ids"]}

    def _saved_config(self) -> PretrainedConfig:
        config = super()._saved_config()
        config.architectures = [type(self).__name__.replace("ForNextToken", "ForCausalLM")]
        del vars(config)["next_token_ids"]
        return config

    def _output(self, last: Any, head: Any, states: Any, attentions: Any) -> NextTokenOutput:
        return NextTokenOutput(head, states, attentions)
