"""Commands of `filbert`, a file each."""
