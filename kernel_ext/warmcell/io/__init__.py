"""Files, where ZenML has them."""
