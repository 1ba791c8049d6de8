"""Counts the stores of kernels that write 16 bytes at a time, in machine code, and fails where they come in pieces:
check_stores.py PLUGIN  (needs cuobjdump and nvdisasm: of the CUDA toolkit, or of the packages nvidia-cuda-*)"""

import re
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

FUNCTION = re.compile(r"Function : (\S+)")
STORE = re.compile(r"\bSTG?\.E(?:\.(?!U8|U16|64|128)\w+)*(?:\.(U8|U16|64|128))?")  # to device memory; 4 bytes: no size

NORM = re.compile(r"norm_(?:few_)?by_(?:warps|block)I(?:Li\d+E)?Li(?P<step>\d+)E")
ATTENTION = re.compile(r"\d+attention_kernelIN")
LINEAR = re.compile(r"linear_kernelIN\w*?9GemmShapeI(?P<sizes>(?:Li\d+E)+)EELb[01]ELb(?P<gated>[01])E")
LINEAR_SM90 = re.compile(r"sm90_kernelIN\w*?9Sm90ShapeI(?:Li\d+E)Li(?P<columns>\d+)E\w*?EEELb(?P<gated>[01])E")


def family(name: str, arch: str) -> tuple[str, bool] | None:
    """Which of the kernels that are looked at it is, and whether it has to store 16 bytes at a time."""
    if found := NORM.search(name):
        return "norm", int(found["step"]) > 1
    if ATTENTION.search(name):
        return "attention", True
    # A warp transposes 32 columns of the output for it, for which a gated product has 64 of the matrix.
    if found := LINEAR.search(name):
        _, columns, _, _, warps, *_ = map(int, re.findall(r"\d+", found["sizes"]))
        return "linear", columns // warps >= 32 * (1 + int(found["gated"]))
    if arch == "sm_90a" and (found := LINEAR_SM90.search(name)):
        return "linear of sm_90a", int(found["columns"]) >= 32 * (1 + int(found["gated"]))
    return None


def stores_of(plugin: str, arch: str) -> dict[str, Counter[str]]:
    listing = subprocess.Popen(["cuobjdump", "-sass", "-arch", arch, plugin], stdout=subprocess.PIPE, text=True)
    stores: dict[str, Counter[str]] = defaultdict(Counter)
    name = ""
    for line in listing.stdout or ():
        if found := FUNCTION.search(line):
            name = found[1]
            stores[name] = Counter()
        elif found := STORE.search(line):
            stores[name][found[1] or "32"] += 1
    if listing.wait() != 0:
        raise SystemExit(f"cuobjdump of {plugin} for {arch}: exit code {listing.returncode}")
    return stores


def check(plugin: str, arch: str) -> list[str]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for name, stores in stores_of(plugin, arch).items():
        if (of := family(name, arch)) is None:
            continue
        counts[of[0]] += Counter(kernels=1, wide=int(of[1])) + stores
        if of[1] and (stores["128"] == 0 or stores["32"] + stores["64"] > 0):
            wrong.append(f"{name} for {arch}: {dict(stores)}")
    for expected in ("norm", "attention", "linear", *(["linear of sm_90a"] if arch == "sm_90a" else [])):
        if counts[expected]["wide"] == 0:
            wrong.append(f"{arch}: no kernel of {expected} is known to store 16 bytes at a time")
    for of_kernels, count in counts.items():
        print(f"{arch}, {of_kernels}: {dict(count)}")
    return wrong


def main(plugin: str) -> int:
    listed = subprocess.run(["cuobjdump", "-lelf", plugin], capture_output=True, text=True, check=True).stdout
    archs = sorted(set(re.findall(r"\.(sm_\w+)\.cubin", listed)))
    with ThreadPoolExecutor() as pool:
        wrong = [line for lines in pool.map(lambda arch: check(plugin, arch), archs) for line in lines]
    print(f"{', '.join(archs)}: {len(wrong)} with a 16-byte store in pieces, or none")
    print("\n".join(wrong))
    return 1 if wrong or not archs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
