"""Sentence vectors, and scores of pairs."""
