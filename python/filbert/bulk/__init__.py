"""Vectors of many files of texts: in shards that resume, on one machine or on several, in bounded memory."""

from .job import encode as encode
from .manifest import Manifest as Manifest
