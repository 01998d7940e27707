"""Deployments as static HTML and text, and the command line that calls one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warmcell_widgets import formatting as fmt
from warmcell_widgets.markup import Json, status_html, table, table_text, text, wrap

# -- deployments -----------------------------------------------------------------------------


def deployment_html(deployment: Json, *, as_of: object = None) -> str:
    """One deployment: state, URL, a curl line, and what its author has to know. ``as_of`` is the
    time for which that is true."""
    return wrap(f'<div class="wc-card">{deployment_body(deployment, as_of=as_of)}</div>')


def deployment_body(deployment: Json, *, as_of: object = None) -> str:
    """The inside of :func:`deployment_html`, without style sheet and frame."""
    when = f'<span class="wc-dim wc-push">as of {fmt.clock(as_of)}</span>' if as_of else ""
    url = str(deployment.get("invoke_url") or deployment.get("url") or "")
    parts = [
        f'<div class="wc-head">{status_html(deployment.get("state"))} '
        f'<span class="wc-name">{text(deployment.get("name"))}</span> '
        f'<span class="wc-dim">snapshot {text(deployment.get("snapshot"))} of '
        f"{text(deployment.get('pipeline'))}</span>{when}</div>"
    ]
    if deployment.get("note"):
        parts.append(f'<div class="wc-part wc-dim wc-said">{text(deployment["note"])}</div>')
    for note in _troubles(deployment):
        parts.append(f'<div class="wc-part"><div class="wc-note">{text(note)}</div></div>')
    if source := served_from(deployment):
        parts.append(f'<div class="wc-part wc-dim">{text(source)}</div>')
    if url:
        parts.append(
            f'<div class="wc-part"><p class="wc-label">call it{links_html(deployment)}</p>'
            f'<pre class="wc-text">{text(curl_line(deployment))}</pre></div>'
        )
    notes = deployment.get("notes") or ()
    if notes:
        parts.append(f'<div class="wc-part">{notes_html(notes)}</div>')
    return "".join(parts)


def deployment_text(deployment: Json) -> str:
    """One deployment as a few lines of text."""
    lines = [
        f"{fmt.mark(deployment.get('state'))} {deployment.get('name')} · snapshot "
        f"{deployment.get('snapshot')} of {deployment.get('pipeline')} · {deployment.get('state')}"
    ]
    if deployment.get("note"):
        lines.append(f"  {deployment['note']}")
    lines += [f"  {note}" for note in _troubles(deployment)]
    if source := served_from(deployment):
        lines.append(f"  {source}")
    if deployment.get("invoke_url") or deployment.get("url"):
        lines.append("  " + str(deployment.get("invoke_url") or deployment.get("url")))
    lines += [f"  note: {note}" for note in deployment.get("notes") or ()]
    return "\n".join(lines)


def deployments_html(deployments: Sequence[Json]) -> str:
    """A table of deployments."""
    rows = [
        (
            f"{fmt.mark(item.get('state'))} {item.get('state')}",
            item.get("name"),
            f"snapshot {item.get('snapshot')} of {item.get('pipeline')}",
            item.get("total_runs"),
            item.get("invoke_url") or item.get("url"),
        )
        for item in deployments
    ]
    if not rows:
        return wrap('<p class="wc-dim">No deployments.</p>')
    titles = ("state", "name", "serves", "runs", "url")
    return wrap(f'<div class="wc-card">{table(titles, rows, numbers={3})}</div>')


def deployments_text(deployments: Sequence[Json]) -> str:
    """A table of deployments as text."""
    rows = [
        (
            item.get("state"),
            item.get("name"),
            f"snapshot {item.get('snapshot')} of {item.get('pipeline')}",
            item.get("total_runs"),
            item.get("invoke_url") or item.get("url"),
        )
        for item in deployments
    ]
    titles = ("state", "name", "serves", "runs", "url")
    return table_text(titles, rows) if rows else "No deployments."


def notes_html(notes: Iterable[object]) -> str:
    """What the snapshot holds by reference or cannot store, one line each."""
    return "".join(f'<div class="wc-note">{text(note)}</div>' for note in notes)


def links_html(deployment: Json) -> str:
    """Links to the pages of a deployment; empty where its address is not one of the web."""
    url = str(deployment.get("url") or "")
    if not url.startswith(("http://", "https://")):
        return ""
    pages = (("playground", ""), ("docs", "docs"), ("metrics", "metrics"))
    links = (f' <a href="{text(url + path)}" target="_blank">{name}</a>' for name, path in pages)
    return f'<span class="wc-links">{"".join(links)}</span>'


def served_from(deployment: Json) -> str:
    """The kernel behind a deployment, in a sentence; empty while there is none."""
    if deployment.get("served_by") == "notebook":
        return f"Served from the kernel of {deployment.get('notebook') or 'its notebook'}."
    if not deployment.get("served_by"):
        return ""
    held = [one for one in deployment.get("replicas") or () if one["served_by"] == "dedicated"]
    wanted = deployment.get("replicas_wanted") or 0
    if wanted > len(held) > 0:
        return f"Served from {len(held)} of {wanted} dedicated kernels; the others are started."
    if len(held) > 1:
        return f"Served from {len(held)} dedicated kernels."
    return "Served from a dedicated kernel."


def _traffic(deployment: Json) -> list[str]:
    """How its calls are shared among snapshots, or why they are no longer."""
    traffic = deployment.get("traffic")
    if not isinstance(traffic, Mapping):
        return []
    found = []
    shares = [one for one in traffic["snapshots"] if one["weight"]]
    main = deployment.get("snapshot")
    if any(one["snapshot"] != main for one in shares):
        parts = ", ".join(
            f"snapshot {one['snapshot']} {100 * one['weight']:.3g}%" for one in shares
        )
        found.append(f"Calls are shared: {parts}.")
    shadows = [one["snapshot"] for one in traffic["shadows"]]
    waiting = [
        str(one["snapshot"])
        for one in traffic["snapshots"]
        if not one["weight"] and one["snapshot"] not in (main, *shadows)
    ]
    if waiting and not traffic["aborted"]:
        found.append(f"Warm, and answering nobody yet: snapshot {', '.join(waiting)}.")
    for one in traffic["shadows"]:
        found.append(
            f"Snapshot {one['snapshot']} executes {100 * one['fraction']:.3g}% of the calls too."
        )
    if traffic["aborted"]:
        found.append(f"Aborted: {traffic['aborted']['cause']}")
    return found


def _troubles(deployment: Json) -> list[str]:
    """Why calls do not run, or who may make them that one might not expect."""
    why = (deployment.get(part) for part in ("reason", "replica_reason", "starved"))
    found = [*why, *_traffic(deployment)]
    settings = deployment.get("settings")
    if isinstance(settings, Mapping) and settings.get("auth") == "public":
        found.append("Open to anybody who reaches this server.")
    return [str(sentence) for sentence in found if sentence]


def curl_line(deployment: Json) -> str:
    """A shell command that calls ``deployment``, with a placeholder per parameter."""
    url = str(deployment.get("invoke_url") or deployment.get("url") or "")
    body = fmt.short({"parameters": example_parameters(deployment.get("input_schema"))}, 100_000)
    quoted = body.replace("'", "'\\''")
    return (
        f"curl -X POST '{url}' \\\n"
        f'  -H "Authorization: token $TOKEN" -H "Content-Type: application/json" \\\n'
        f"  -d '{quoted}'"
    )


def example_parameters(schema: object) -> dict[str, Any]:
    """A value for each parameter of a JSON Schema: its example, its default, or one of its type."""
    if not isinstance(schema, Mapping):
        return {}
    definitions = schema.get("$defs")
    known = definitions if isinstance(definitions, Mapping) else {}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {str(name): _example(part, known, 0) for name, part in properties.items()}


_BLANKS: dict[str, Any] = {
    "string": "text",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "null": None,
}


def _example(part: Any, known: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(part, Mapping) or depth > 4:
        return None
    for key in ("example", "default", "const"):
        if key in part:
            return part[key]
    for key in ("examples", "enum"):
        if part.get(key):
            return part[key][0]
    if "$ref" in part:
        return _example(known.get(str(part["$ref"]).rsplit("/", 1)[-1]), known, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if part.get(key):
            return _example(part[key][0], known, depth + 1)
    if part.get("type") == "object" or "properties" in part:
        inside = part.get("properties") or {}
        return {name: _example(value, known, depth + 1) for name, value in inside.items()}
    if part.get("type") == "array":
        return [_example(part["items"], known, depth + 1)] if "items" in part else []
    return _BLANKS.get(str(part.get("type")))
