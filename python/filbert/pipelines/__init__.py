"""`pipeline`: a task, a model, and results in the formats of transformers."""

from .factory import pipeline as pipeline
