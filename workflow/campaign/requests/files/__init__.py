"""Prompt files: which a dataset has, and their rows, streaming. One module per kind of file."""
