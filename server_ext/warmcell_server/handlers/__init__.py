"""Tornado handlers: they map requests to the host and answers back."""
