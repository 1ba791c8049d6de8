"""Fails unless python/filbert/_core.pyi declares what the compiled module has: names, and parameters of functions."""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path(__file__).parent.parent / "python/filbert/_core.pyi"


def declared(path):
    """Qualified name -> parameter names (None for what is not a function)."""
    found = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[prefix + node.name] = None
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                names = [each.arg for each in arguments if each.arg not in ("self", "arg0")]
                found[prefix + node.name] = None if is_property else names
            elif isinstance(node, ast.AnnAssign):
                found[prefix + node.target.id] = None

    visit(ast.parse(path.read_text()).body, "")
    return {name: names for name, names in found.items() if name not in ("__version__", "__all__")}


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pybind11_stubgen", "filbert._core", "-o", folder], check=True, capture_output=True
        )
        actual = declared(Path(folder) / "filbert/_core.pyi")
    written = declared(STUB)
    actual = {name: names for name, names in actual.items() if not name.endswith("__repr__")}
    for name in sorted(written.keys() | actual.keys()):
        if name not in actual or name not in written or written[name] != actual[name]:
            found, expected = actual.get(name, "nothing"), written.get(name, "nothing")
            sys.exit(f"{STUB.name}: {name}: the module has {found}, the stub says {expected}")
    print(f"{STUB.name} declares the {len(actual)} names of the module")


if __name__ == "__main__":
    main()
