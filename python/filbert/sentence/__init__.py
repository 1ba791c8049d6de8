"""Sentence vectors, and scores of pairs."""

from .cross_encoder import CrossEncoder as CrossEncoder
from .encoder import SentenceEncoder as SentenceEncoder
from .sparse_encoder import SparseEncoder as SparseEncoder
