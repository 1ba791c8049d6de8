"""Programs that import other libraries, each run in a Python of its own: what one imports would change the others."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

# Chroma scales vectors to length 1 when it stores them. Ours have it to 2^-23: its factor is rounded, and the product.
SCALED_AGAIN = 2**-22


def need(*packages: str) -> None:
    """Skips unless they are installed. Nothing is imported: they may need the stand-in."""
    for package in packages:
        try:
            missing = find_spec(package) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            pytest.skip(f"{package} is not installed")


def run(code: str, *arguments: object) -> Any:
    """What the program assigns to `result`, which JSON can hold. `sys.argv[1:]` are the arguments."""
    program = f"import json, sys\n{code}\nprint()\nprint(json.dumps(result))"
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False", "HAYSTACK_TELEMETRY_ENABLED": "False"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
