"""Sentence vectors."""

from .encoder import SentenceEncoder as SentenceEncoder
