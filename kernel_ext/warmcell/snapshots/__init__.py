"""Snapshots: an immutable capture of a pipeline, served live and restorable elsewhere.

One pickle pass gives both forms. :func:`capture` writes notebook code by value, a few kB, and keeps
every large or opaque object as a reference. Loaded back in the same process that stream is the live
binding: nothing large is copied, and no later edit of the notebook reaches it. The same stream with
the referenced objects beside it is the stored form, which :func:`restore` loads in a fresh process.
"""

from __future__ import annotations

from warmcell.snapshots.captured import Capture, Held, capture
from warmcell.snapshots.stored import StoredForm, restore

__all__ = ["Capture", "Held", "StoredForm", "capture", "restore"]
