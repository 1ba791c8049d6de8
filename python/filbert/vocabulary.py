"""The vocabulary of a tokenizer: from ids to tokens and texts and back, and the special tokens by their roles."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer as Backend

from .checks import integer
from .errors import InputError
from .texts import as_list
from .tokenizer_files import SPECIAL_TOKENS

_ENDINGS = ("n't", "'m", "'s", "'ve", "'re")
_CLEAN_UP = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", **{f" {end}": end for end in _ENDINGS}}


def _special(name: str) -> tuple[property, property]:
    """The properties `pad_token` and `pad_token_id` for "pad_token"; None if the tokenizer has no such token."""

    def get(self: "Vocabulary") -> str | None:
        return self._special_tokens.get(name)

    def put(self: "Vocabulary", token: str) -> None:
        if self._backend.token_to_id(token) is None:
            raise InputError(f"{name}: found {token!r}, which is not in the vocabulary")
        self._special_tokens[name] = token

    def get_id(self: "Vocabulary") -> int | None:
        token = self._special_tokens.get(name)
        return None if token is None else self._backend.token_to_id(token)

    return property(get, put), property(get_id)


class Vocabulary:
    """What a tokenizer knows of its tokens.

    pad_token, pad_token_id, cls_token, cls_token_id, ... (sep, unk, mask, bos, eos): the special tokens, None where
    there is none. clean_up_tokenization_spaces: whether `decode` takes spaces away before punctuation.
    """

    _backend: Backend
    _special_tokens: dict[str, str]
    clean_up_tokenization_spaces: bool

    bos_token, bos_token_id = _special("bos_token")
    eos_token, eos_token_id = _special("eos_token")
    unk_token, unk_token_id = _special("unk_token")
    sep_token, sep_token_id = _special("sep_token")
    pad_token, pad_token_id = _special("pad_token")
    cls_token, cls_token_id = _special("cls_token")
    mask_token, mask_token_id = _special("mask_token")

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """The text of some ids: an integer, a list, array or tensor [seq]; a list of texts for [batch, seq]."""
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        ids = [ids] if integer(ids) is not None else as_list("token_ids", ids, "integers")
        if ids and integer(ids[0]) is None:
            return self.batch_decode(ids, skip_special_tokens, clean_up_tokenization_spaces)
        try:
            text: str = self._backend.decode(ids, skip_special_tokens=skip_special_tokens)
        except (TypeError, OverflowError) as error:
            raise InputError(f"token_ids: found {ids!r:.100}, expected integers from 0 ({error})") from None
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        # The clean-up was made for word pieces; byte pairs carry their own spaces.
        if clean_up_tokenization_spaces and type(self._backend.model).__name__ != "BPE":
            for found, replacement in _CLEAN_UP.items():
                text = text.replace(found, replacement)
        return text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The texts of a batch of ids: lists, or an array or tensor [batch, seq]."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else as_list("sequences", sequences, "lists of ids")
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in rows]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the list of tokens of a list, array or tensor of ids; None for an id outside."""
        if integer(ids) is not None:
            return self._backend.id_to_token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        ids = ids.tolist() if hasattr(ids, "tolist") else as_list("ids", ids, "integers")
        return [self._backend.id_to_token(int(index)) for index in ids if int(index) not in skipped]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or the list of ids of a list; unk_token_id for what is not in the vocabulary."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in as_list("tokens", tokens, "strings")]
        index = self._backend.token_to_id(tokens)
        return self.unk_token_id if index is None else index

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that tokens stand for."""
        decoder = self._backend.decoder
        text: str = " ".join(tokens) if decoder is None else decoder.decode(tokens)
        return text

    def get_vocab(self) -> dict[str, int]:
        """Every token with its id, added tokens included."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def beyond(self, known: int, name: str, numbers: Sequence[int], rows: Sequence[Sequence[int]]) -> InputError:
        """What to raise where one of the rows has an id that the model has no vector for: the ids below `known`.

        name, numbers: what the rows are of, such as "text", and their numbers.
        """
        each = zip(numbers, rows, strict=True)
        number, ids = next((number, ids) for number, ids in each if max(ids, default=0) >= known)
        return InputError(
            f"{name} {number}: token {self.convert_ids_to_tokens(max(ids))!r} has id {max(ids)}, and the model has "
            f"vectors for ids from 0 to {known - 1}: the tokenizer's tokens were added without resizing the model"
        )

    @property
    def vocab(self) -> dict[str, int]:
        return self.get_vocab()

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, without those added to it; `len(tokenizer)` counts them too."""
        size: int = self._backend.get_vocab_size(with_added_tokens=False)
        return size

    def __len__(self) -> int:
        size: int = self._backend.get_vocab_size(with_added_tokens=True)
        return size

    def __bool__(self) -> bool:
        return True

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by their roles."""
        return {name: self._special_tokens[name] for name in SPECIAL_TOKENS if name in self._special_tokens}

    @property
    def all_special_tokens(self) -> list[str]:
        extra = [token.content for token in self._backend.get_added_tokens_decoder().values() if token.special]
        return list(dict.fromkeys([*self.special_tokens_map.values(), *extra]))

    @property
    def all_special_ids(self) -> list[int]:
        ids: list[int] = self.convert_tokens_to_ids(self.all_special_tokens)
        return ids
