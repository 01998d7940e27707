"""Metadata: what is logged about runs, steps, artifact versions and model versions."""
