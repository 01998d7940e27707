"""Real parts for tests and benchmarks: a Jupyter server, its kernels, a browser."""
