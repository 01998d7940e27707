"""Deployments under the module paths that ZenML has them."""
