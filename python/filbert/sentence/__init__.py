"""Sentence vectors, and scores of pairs."""

from .cross_encoder import CrossEncoder as CrossEncoder
from .encoder import SentenceEncoder as SentenceEncoder
