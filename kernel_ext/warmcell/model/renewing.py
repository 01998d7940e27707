"""Renewing: a kernel holds a snapshot once more, for another version of the model it follows.

The newcomer is made beside what is served: its code is rebuilt and ``on_init`` runs for it, before
the host sends it a call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, WarmcellError
from warmcell.ids import new_id
from warmcell.model.inrun import RunModels, pinned
from warmcell.model.version import ModelVersion

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline
    from warmcell.serving import Binding

__all__ = ["renew"]

log = logging.getLogger("warmcell.model")


def renew(message: wire.Renew) -> wire.Told:
    """Answer the host's wish for a newcomer; never raises."""
    from warmcell.link import kernel

    here = kernel()
    try:
        binding = _newcomer(message)
    except WarmcellError as error:
        reason, hint = error.message, error.hint
    except Exception as error:  # rebuilding runs the objects' own code
        log.exception("A snapshot could not be renewed")
        reason, hint = f"{type(error).__name__}: {error}", None
    else:
        here.serving.add(binding)
        here.renewed(message.key, binding)
        told = {"key": binding.key, "model": binding.models.told if binding.models else None}
        return wire.Told(message.ask, msgspec.json.encode(told))
    failure = msgspec.json.encode({"detail": reason, "hint": hint})
    return wire.Told(message.ask, failure, failed=True)


def _newcomer(message: wire.Renew) -> Binding:
    from warmcell.client import Client
    from warmcell.deploying import initialise, surround
    from warmcell.link import kernel
    from warmcell.serving import Binding

    old = kernel().serving.find(message.key)
    if old is None or old.fresh is None or old.models is None:
        raise Conflict("The kernel no longer holds this snapshot.")
    client = Client()
    path = f"api/v1/model-versions/{quote(message.version, safe='')}"
    version = ModelVersion(client._call("GET", path), client)
    told = old.models.told or {}
    models = RunModels(pinned=version, alias=told.get("alias", ""))
    roots = old.fresh()
    live = cast("Pipeline", roots["pipeline"])
    around = surround(live, roots) if len(roots) > 1 else None
    with pinned(models):
        state = initialise(live, around)
    binding = Binding(
        f"{message.key.partition(':')[0]}:{new_id()}",
        live,
        old.parameters,
        state=state,
        snapshot=old.snapshot,
        around=around,
        recipe=old.recipe,
        taken=old.taken,
    )
    binding.models, binding.fresh = models, old.fresh
    return binding
