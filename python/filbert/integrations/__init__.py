"""filbert in other libraries, one module each, which imports that library.

A module raises ImportError with the package to install where its library is missing. `import filbert` imports none.
"""
