"""Cells of a notebook: how their text becomes steps and pipelines."""
