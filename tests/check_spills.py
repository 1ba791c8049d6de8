"""Reads what `ptxas -v` said of each kernel and fails if one keeps registers in local memory: check_spills.py LOG"""

import re
import sys
from pathlib import Path

KERNEL = re.compile(r"Compiling entry function '(?P<name>\S+)' for '(?P<arch>sm_\w+)'")
SPILL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


def main(log: str) -> int:
    kernel = None
    checked, spilling = 0, []
    for line in Path(log).read_text().splitlines():
        if found := KERNEL.search(line):
            kernel = f"{found['name']} for {found['arch']}"
        elif kernel and (found := SPILL.search(line)):
            checked += 1
            if any(int(number) for number in found.groups()):
                spilling.append(f"{kernel}: {found[0]}")
            kernel = None
    print(f"{checked} kernels, {len(spilling)} with a stack frame or spills")
    print("\n".join(spilling))
    return 1 if spilling or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
