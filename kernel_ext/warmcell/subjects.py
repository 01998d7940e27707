"""What tags and metadata are about, as users name it; what the host is asked for then."""

from __future__ import annotations

from typing import Any

from warmcell.errors import UsageError

__all__ = ["named", "snapshot_of"]


def named(what: str, **given: Any) -> dict[str, Any] | None:
    """Turn keywords, of which some are None, into what ``api/v1/tagged`` and ``api/v1/metadata``
    take as ``on``; None where none was given.

    Raises :class:`UsageError` for a combination that means nothing; ``what`` is the function.
    """
    said = {key: value for key, value in given.items() if value is not None}
    if not said:
        return None
    for members, kind, names in _WAYS:
        if said.keys() == set(members):
            if kind == "snapshot":
                return snapshot_of(said["snapshot"])
            values = [_text(said[member]) for member in members]
            return {"kind": kind, **dict(zip(names, values, strict=True))}
    ways = "; ".join(
        " and ".join(members) for members, _, _ in _WAYS if set(members) <= given.keys()
    )
    raise UsageError(f"{what}() cannot take {', '.join(said)} together.", hint=f"Take {ways}.")


_WAYS: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    (("pipeline",), "pipeline", ("pipeline",)),
    (("run",), "run", ("run",)),
    (("step_name", "run"), "step", ("step", "run")),
    (("step_id",), "step", ("id",)),
    (("snapshot",), "snapshot", ()),
    (("deployment",), "deployment", ("deployment",)),
    (("artifact",), "artifact", ("artifact",)),
    (("artifact_version_id",), "artifact_version", ("id",)),
    (("artifact_name",), "artifact_version", ("artifact",)),
    (("artifact_name", "artifact_version"), "artifact_version", ("artifact", "version")),
    (("model",), "model", ("model",)),
    (("model_version_id",), "model_version", ("id",)),
    (("model_name", "model_version"), "model_version", ("model", "version")),
]


def snapshot_of(given: Any) -> dict[str, Any]:
    """A snapshot as ``"churn/3"``, as ``("churn", 3)`` or as the row that the client lists."""
    if isinstance(given, str):
        given = tuple(given.rpartition("/")[::2])
    elif isinstance(given, dict):
        given = given.get("pipeline"), given.get("number")
    if isinstance(given, tuple) and len(given) == 2 and all(given):
        return {"kind": "snapshot", "pipeline": _text(given[0]), "number": str(given[1])}
    raise UsageError(
        f"{given!r} is not a snapshot.", hint='Name it by its pipeline and number: "churn/3".'
    )


def _text(value: Any) -> str:
    name = getattr(value, "name", None)  # a pipeline, a deployment, a model
    identifier = getattr(value, "id", None)  # a run, a version
    return str(identifier or name or value) if not isinstance(value, str) else value
