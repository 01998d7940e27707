"""Warmcell: pipelines made of notebook cells, served by the kernel that holds their objects."""

__version__ = "0.1.0"
