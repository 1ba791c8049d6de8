"""`python -m filbert`: the command line; `python -m filbert --cmake-dir` prints where the CMake package is."""

import sys

from . import cmake_dir


def main() -> int:
    if sys.argv[1:] == ["--cmake-dir"]:
        print(cmake_dir())
        return 0
    from .cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
