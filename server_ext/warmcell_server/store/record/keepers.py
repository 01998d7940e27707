"""What keeps an artifact version: who takes it, and who says that it stays."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["KEEP", "keepers", "said"]

KEEP = "keep"
"""The tag of what is never deleted, of a version or of all versions of an artifact."""

# `picked` are the versions that are asked for. The bounds of their ids let DuckDB leave out what is
# older or newer.
_PICKED = """
WITH picked AS (
    SELECT id, artifact, run_id, step FROM data.artifact_versions
    WHERE id BETWEEN $low AND $high AND id IN (SELECT unnest($wanted::VARCHAR[]))
)
"""
# Version, run and how. A run that took a version from an earlier one (cached) has it as its output.
# Whether there is such a run (still) is asked afterwards: of a join DuckDB would read all runs.
_TAKERS = f"""{_PICKED}
SELECT u.version, u.run_id, max(u.input) FROM data.uses u JOIN picked p ON p.id = u.version
WHERE u.version BETWEEN $low AND $high AND u.run_id IS DISTINCT FROM p.run_id
GROUP BY u.version, u.run_id
UNION ALL
SELECT a.version, a.run_id, max('output of ' || a.step)
FROM data.artifacts a JOIN picked p ON p.id = a.version
WHERE a.version BETWEEN $low AND $high AND a.run_id IS DISTINCT FROM p.run_id
GROUP BY a.version, a.run_id
"""
# Each part: id of the version, kind of the keeper, who it is, and how. What a run or a step made
# belongs to the model that it was made for.
_OTHERS = f"""{_PICKED}
SELECT DISTINCT l.id, 'model', m.model, m.version FROM (
    SELECT p.id, l.version FROM data.model_links l
    JOIN picked p ON l.kind = 'artifact_version' AND l.subject = p.id
    UNION ALL
    SELECT p.id, l.version FROM data.model_links l
    JOIN picked p ON l.kind = 'run' AND l.subject = p.run_id
    UNION ALL
    SELECT p.id, l.version FROM data.model_links l
    JOIN picked p ON l.kind = 'step' AND l.subject = p.run_id || '/' || p.step
) l JOIN data.model_versions m ON m.id = l.version
UNION ALL
SELECT DISTINCT p.id, 'deployment', d.name, NULL
FROM data.loads l JOIN picked p ON p.id = l.version
JOIN data.deployments d ON d.name = l.deployment AND d.state <> 'removed'
UNION ALL
SELECT DISTINCT p.id, 'visualization', c.subject, c.kind
FROM data.curated c JOIN picked p ON p.id = c.version
LEFT JOIN data.deployments d ON c.kind = 'deployment' AND d.name = c.subject
WHERE c.kind <> 'run' AND (c.kind <> 'deployment' OR d.state <> 'removed')
UNION ALL
SELECT p.id, 'tag', t.tag, NULL
FROM data.tagged t JOIN picked p ON (t.kind = 'artifact_version' AND t.subject = p.id)
    OR (t.kind = 'artifact' AND t.subject = p.artifact)
WHERE t.tag = $keep
"""
# Whatever form settings have: an id in them is a reference, as no two things have the same.
_SETTINGS = """
SELECT 'snapshot' AS kind, s.pipeline || '@' || s.number AS name, (
    SELECT string_agg(d.name, ', ' ORDER BY d.name) FROM data.deployments d
    WHERE d.pipeline = s.pipeline AND d.snapshot = s.number AND d.state <> 'removed'
), concat_ws(' ', s.settings, s.held, s.manifest) AS said
FROM data.snapshots s WHERE regexp_matches(said, ?)
UNION ALL
SELECT 'deployment', d.name, NULL, concat_ws(' ', d.settings, d.traffic) AS said
FROM data.deployments d WHERE d.state <> 'removed' AND regexp_matches(said, ?)
"""
_ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


def keepers(
    cursor: DuckDBPyConnection,
    versions: Collection[str],
    without: str = "SELECT NULL::VARCHAR AS run_id WHERE false",
) -> dict[str, list[dict[str, Any]]]:
    """Return what keeps each of ``versions`` (ids) that anything keeps.

    A keeper is ``{"kind", "name", "how"}``: a "run" that takes it as the input ``how``, a "model"
    of the version ``how``, a "snapshot" that ``how`` serve, a "deployment", a "visualization" that
    is shown with the ``how`` of that name, or the "tag" keep. The
    runs that the query ``without`` gives do not count, as they are about to go; nor does what the
    run that made it does with it.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    if not versions:
        return found
    wanted = list(versions)
    values = {
        "wanted": wanted, "low": min(wanted), "high": max(wanted), "keep": KEEP,
    }  # fmt: skip
    rows = _runs(cursor, {name: values[name] for name in ("wanted", "low", "high")}, without)
    rows += cursor.execute(_OTHERS, values).fetchall()
    rows += _in_settings(cursor, set(wanted))
    for version, kind, name, how in rows:
        found.setdefault(version, []).append({"kind": kind, "name": name, "how": how})
    return found


def said(keeper: dict[str, Any]) -> str:
    """A keeper in words."""
    kind, name, how = keeper["kind"], keeper["name"], keeper["how"]
    match kind:
        case "run":
            return f"run {name} uses it ({how})"
        case "model":
            return f"it belongs to version {how} of model '{name}'"
        case "snapshot":
            return f"snapshot {name} holds it" + (f", served by {how}" if how else "")
        case "deployment":
            return f"deployment '{name}' names it"
        case "visualization":
            return f"it is shown with {how} '{name}'"
    return f"it is tagged '{name}'"


def _runs(
    cursor: DuckDBPyConnection, values: dict[str, Any], without: str
) -> list[tuple[Any, ...]]:
    takers = cursor.execute(_TAKERS, values).fetchall()
    if not takers:
        return []
    ids = list({run_id for _, run_id, _ in takers})
    known = cursor.execute(
        "SELECT r.run_id FROM data.runs r WHERE r.run_id BETWEEN ? AND ? "
        "AND r.run_id IN (SELECT unnest(?::VARCHAR[])) "
        f"AND NOT EXISTS (FROM ({without}) gone WHERE gone.run_id = r.run_id)",
        [min(ids), max(ids), ids],
    ).fetchall()
    there = {run_id for (run_id,) in known}
    return [(version, "run", run_id, how) for version, run_id, how in takers if run_id in there]


def _in_settings(cursor: DuckDBPyConnection, versions: set[str]) -> list[tuple[Any, ...]]:
    found = []
    for kind, name, how, text in cursor.execute(_SETTINGS, [_ID, _ID]).fetchall():
        named = versions.intersection(re.findall(_ID, text))
        found += [(version, kind, name, how) for version in named]
    return found
