"""Warmcell's host: a Jupyter server extension, or the same inside a kernel."""
