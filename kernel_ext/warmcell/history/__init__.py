"""The history as data: calls as typed frames, and golden sets of them."""
