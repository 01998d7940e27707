"""Static HTML and text of everything a notebook shows.

Pure functions over the JSON forms of ``api/v1``; every text is escaped. The text twins are for
terminals and for front ends that show no HTML. All HTML stays true in a saved notebook: it needs
no kernel, no script and no network, and where a front end strips styles it is still plain tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from warmcell_widgets import formatting as fmt
from warmcell_widgets.assets import style
from warmcell_widgets.drawing import GraphLike, NodeView, graph_svg, graph_text, views

__all__ = [
    "NodeView",
    "deployment_html",
    "deployment_text",
    "deployments_html",
    "deployments_text",
    "graph_html",
    "graph_svg",
    "graph_text",
    "run_html",
    "run_text",
    "runs_html",
    "runs_text",
    "table_html",
    "table_text",
    "wrap",
]

Json = Mapping[str, Any]
MAX_LOG_LINES = 200


def wrap(body: str) -> str:
    """``body`` as a whole output: with the style sheet, below the one class that it applies to."""
    return f'<style>{style()}</style><div class="warmcell">{body}</div>'


# -- a run -----------------------------------------------------------------------------------


def run_html(run: Json, *, graph: GraphLike | None = None) -> str:
    """One run: status, outputs, error, and folded the steps, inputs and logs.

    ``run`` is the JSON of ``GET api/v1/runs/{id}``; the lists of parts may be missing. ``graph``
    draws the steps with their states.
    """
    return wrap(f'<div class="wc-card">{run_body(run, graph=graph)}</div>')


def run_body(run: Json, *, graph: GraphLike | None = None) -> str:
    """The inside of :func:`run_html`, without style sheet and frame."""
    parts = [_run_head(run)]
    if run.get("error"):
        parts.append(f'<div class="wc-part">{error_html(run["error"])}</div>')
    if run.get("outputs"):
        parts.append(f'<div class="wc-part">{_values(run["outputs"], "outputs")}</div>')
    steps = run.get("steps") or []
    if graph is not None:
        parts.append(f'<div class="wc-part wc-graph">{run_graph(graph, steps)}</div>')
    if steps:
        parts.append(_fold(f"{_count(steps, 'step')}", steps_html(steps)))
    if run.get("parameters"):
        parts.append(_fold("inputs", _values(run["parameters"])))
    if run.get("artifacts"):
        parts.append(_fold(_count(run["artifacts"], "artifact"), _artifacts(run["artifacts"])))
    if run.get("logs"):
        parts.append(_fold("output", logs_html(run["logs"])))
    return "".join(parts)


def run_text(run: Json) -> str:
    """One run as a few lines of text."""
    head = [
        f"{fmt.mark(run.get('status'))} {run.get('pipeline', '')}",
        fmt.status_words(run.get("status")),
        fmt.duration(fmt.run_seconds(run)),
        f"run {run.get('run_id', '')}",
    ]
    lines = [" · ".join(part for part in head if part)]
    error = run.get("error")
    if isinstance(error, Mapping):
        where = f" in step {error['step']}" if error.get("step") else ""
        lines.append(
            f"  {error.get('type', 'Error')}{where}: {fmt.plain(error.get('message', ''))}"
        )
    outputs = run.get("outputs")
    if isinstance(outputs, Mapping):
        lines += [f"  {name} = {fmt.short(value, 100)}" for name, value in outputs.items()]
    for step in run.get("steps") or ():
        parts = (
            f"{fmt.mark(step.get('status'))} {step.get('step')}",
            fmt.duration(fmt.run_seconds(step)),
        )
        lines.append("    " + "  ".join(part for part in parts if part))
    return "\n".join(lines)


def _run_head(run: Json) -> str:
    identifier = str(run.get("run_id", ""))
    where = _served(run)
    parts = [
        status_html(run.get("status")),
        f'<span class="wc-name">{_text(run.get("pipeline"))}</span>',
        f"<span>{_text(fmt.duration(fmt.run_seconds(run)))}</span>",
        f'<span class="wc-dim">{_text(where)}</span>',
        f'<span class="wc-dim wc-push" title="{_text(identifier)}">'
        f"{_text(fmt.clock(run.get('created_at')))} · run {_text(fmt.short_id(identifier))}</span>",
    ]
    return (
        f'<div class="wc-head">{" ".join(part for part in parts if ">" + "</" not in part)}</div>'
    )


def _served(run: Json) -> str:
    """How a run came about, as ``call of churn, snapshot 3``."""
    words = str(run.get("trigger") or "")
    if run.get("deployment"):
        words += f" of {run['deployment']}" if words else str(run["deployment"])
    if run.get("snapshot") is not None:
        words += f", snapshot {run['snapshot']}"
    return words


def status_html(status: object) -> str:
    """A status as a coloured word with its mark."""
    name = _text(status or "unknown")
    words = _text(fmt.status_words(status))
    return f'<span class="wc-status wc-{name}">{fmt.mark(status)} {words}</span>'


def error_html(error: object) -> str:
    """An error of a run: type, message, the way out, and the traceback folded."""
    if not isinstance(error, Mapping):
        return f'<div class="wc-error">{_text(fmt.plain(error))}</div>'
    where = f" in step <b>{_text(error['step'])}</b>" if error.get("step") else ""
    parts = [f"<b>{_text(error.get('type') or 'Error')}</b>{where}"]
    if error.get("message"):
        parts.append(f'<pre class="wc-text">{_text(fmt.plain(error["message"]))}</pre>')
    if error.get("hint"):
        parts.append(f"<p>{_text(error['hint'])}</p>")
    if error.get("traceback"):
        trace = _text(fmt.plain(error["traceback"]))
        parts.append(
            f'<details><summary>traceback</summary><pre class="wc-text">{trace}</pre></details>'
        )
    return f'<div class="wc-error">{"".join(parts)}</div>'


def steps_html(steps: Sequence[Json]) -> str:
    """The steps of a run as a table, each with a bar of when it ran."""
    starts = [when for step in steps if (when := fmt.moment(step.get("started_at")))]
    ends = [when for step in steps if (when := fmt.moment(step.get("finished_at")))]
    first = min(starts, default=None)
    span = (max(ends) - first).total_seconds() if first and ends else 0.0
    rows = []
    for step in steps:
        seconds = fmt.run_seconds(step)
        attempts = step.get("attempts") or 1
        tries = f' <span class="wc-dim">{attempts} attempts</span>' if attempts > 1 else ""
        rows.append(
            f"<td>{status_mark(step.get('status'))} {_text(step.get('step'))}{tries}</td>"
            f'<td class="wc-lane">{_bar(step, first, span, seconds)}</td>'
            f'<td class="wc-num">{_text(fmt.duration(seconds))}</td>'
        )
        if step.get("error"):
            rows.append(f'<td colspan="3" class="wc-wrap">{error_html(step["error"])}</td>')
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wc-scroll"><table class="wc-table"><tbody>{body}</tbody></table></div>'


def status_mark(status: object) -> str:
    """The mark of a status alone; the word is its tooltip."""
    words = _text(fmt.status_words(status))
    return f'<span class="wc-status wc-{_text(status)}" title="{words}">{fmt.mark(status)}</span>'


def _bar(step: Json, first: Any, span: float, seconds: float | None) -> str:
    begin = fmt.between(first, step.get("started_at"))
    if begin is None or span <= 0:
        return '<div class="wc-track"></div>'
    left = min(100.0 * begin / span, 99.0)
    width = min(100.0 * (seconds if seconds is not None else span - begin) / span, 100.0 - left)
    return (
        f'<div class="wc-track"><div class="wc-bar wc-{_text(step.get("status"))}" '
        f'style="margin-left: {left:.2f}%; width: {max(width, 0.5):.2f}%"></div></div>'
    )


def run_graph(graph: GraphLike, steps: Sequence[Json]) -> str:
    """``graph`` as SVG, coloured by the states of ``steps``, timed by their durations."""
    states: dict[str, str] = {}
    texts: dict[str, str] = {}
    for step in steps:
        name = str(step.get("step"))
        states[name] = str(step.get("status"))
        texts[name] = fmt.duration(fmt.run_seconds(step)) or fmt.status_words(step.get("status"))
    known = {node.name for node in views(graph)}
    fitting = {name: state for name, state in states.items() if name in known}
    return graph_svg(graph, states=fitting, subtitles={name: texts[name] for name in fitting})


def logs_html(logs: Sequence[Json]) -> str:
    """Captured output, one block per stretch of one step."""
    blocks: list[tuple[str, list[str]]] = []
    shown = 0
    for record in logs:
        if shown >= MAX_LOG_LINES:
            break
        text = fmt.clip(fmt.plain(record.get("text", "")), 8000)
        shown += max(text.count("\n"), 1)
        kind = "wc-stderr" if record.get("stream") == "stderr" else ""
        piece = f'<span class="{kind}">{_text(text)}</span>' if kind else _text(text)
        step = str(record.get("step") or "")
        if not blocks or blocks[-1][0] != step:
            blocks.append((step, []))
        blocks[-1][1].append(piece)
    parts = []
    for step, pieces in blocks:
        title = f'<p class="wc-label">{_text(step)}</p>' if step else ""
        parts.append(f'{title}<pre class="wc-text">{"".join(pieces).rstrip()}</pre>')
    if shown >= MAX_LOG_LINES:
        parts.append('<p class="wc-dim">The rest is in <code>Client().get_run(id).logs</code>.</p>')
    return "".join(parts)


def _artifacts(artifacts: Sequence[Json]) -> str:
    rows = [
        (
            f"{item.get('step')}.{item.get('name')}",
            item.get("kind"),
            item.get("type"),
            item.get("preview") or fmt.short(item.get("value"), 80),
            fmt.size(item.get("size")),
        )
        for item in artifacts
    ]
    return _table(("artifact", "kind", "type", "value", "size"), rows, numbers={4}, clip={3})


# -- many runs -------------------------------------------------------------------------------


def runs_html(runs: Sequence[Json], *, title: str = "Runs", more: bool = False) -> str:
    """A table of runs, newest first as given. ``more`` says that there are older ones."""
    note = "newest first" + (", older ones not shown" if more else "")
    head = (
        f'<div class="wc-head"><span class="wc-name">{_text(title)}</span>'
        f'<span class="wc-dim">{_text(_count(runs, "run"))}, {note}</span></div>'
    )
    if not runs:
        body = '<div class="wc-part wc-dim">No runs yet.</div>'
    else:
        rows = "".join(_run_row(run) for run in runs)
        titles = ("status", "pipeline", "trigger", "started", "duration", "parameters", "run")
        columns = "".join(
            f"<th{' class=wc-num' if name == 'duration' else ''}>{name}</th>" for name in titles
        )
        body = (
            f'<div class="wc-scroll"><table class="wc-table"><thead><tr>{columns}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return wrap(f'<div class="wc-card">{head}{body}</div>')


def _run_row(run: Json) -> str:
    identifier = str(run.get("run_id", ""))
    parameters = fmt.pairs(run.get("parameters"), 200)
    error = run.get("error")
    if isinstance(error, Mapping):
        message = f"{error.get('type', 'Error')}: {error.get('message', '')}"
        note = f' <span class="wc-stderr">{_text(fmt.clip(fmt.plain(message), 120))}</span>'
    else:
        note = ""
    began = fmt.clock(run.get("started_at") or run.get("created_at"))
    brief = _text(fmt.clip(parameters, 80)) + note
    last = _text(fmt.short_id(identifier))
    cells = (
        f"<td>{status_html(run.get('status'))}</td>",
        f"<td>{_text(run.get('pipeline'))}</td>",
        f'<td class="wc-dim">{_text(_served(run))}</td>',
        f'<td class="wc-dim">{_text(began)}</td>',
        f'<td class="wc-num">{_text(fmt.duration(fmt.run_seconds(run)))}</td>',
        f'<td class="wc-clip" title="{_text(parameters)}">{brief}</td>',
        f'<td class="wc-mono wc-dim" title="{_text(identifier)}">{last}</td>',
    )
    return f"<tr>{''.join(cells)}</tr>"


def runs_text(runs: Sequence[Json]) -> str:
    """A table of runs as text."""
    rows = [
        (
            f"{fmt.mark(run.get('status'))} {fmt.status_words(run.get('status'))}",
            run.get("pipeline"),
            _served(run),
            fmt.clock(run.get("started_at") or run.get("created_at")),
            fmt.duration(fmt.run_seconds(run)),
            fmt.pairs(run.get("parameters"), 40),
            run.get("run_id"),
        )
        for run in runs
    ]
    if not rows:
        return "No runs yet."
    titles = ("status", "pipeline", "trigger", "started", "duration", "parameters", "run")
    return table_text(titles, rows)


# -- deployments -----------------------------------------------------------------------------


def deployment_html(deployment: Json) -> str:
    """One deployment: state, URL, a curl line, and what its author has to know."""
    url = str(deployment.get("invoke_url") or deployment.get("url") or "")
    parts = [
        f'<div class="wc-head">{status_html(deployment.get("state"))} '
        f'<span class="wc-name">{_text(deployment.get("name"))}</span> '
        f'<span class="wc-dim">snapshot {_text(deployment.get("snapshot"))} of '
        f"{_text(deployment.get('pipeline'))}</span></div>"
    ]
    if deployment.get("reason"):
        parts.append(
            f'<div class="wc-part"><div class="wc-note">{_text(deployment["reason"])}</div></div>'
        )
    if url:
        parts.append(
            f'<div class="wc-part"><p class="wc-label">call it</p>'
            f'<pre class="wc-text">{_text(curl_line(deployment))}</pre></div>'
        )
    notes = deployment.get("notes") or ()
    if notes:
        parts.append(f'<div class="wc-part">{notes_html(notes)}</div>')
    return wrap(f'<div class="wc-card">{"".join(parts)}</div>')


def deployment_text(deployment: Json) -> str:
    """One deployment as a few lines of text."""
    lines = [
        f"{fmt.mark(deployment.get('state'))} {deployment.get('name')} · snapshot "
        f"{deployment.get('snapshot')} of {deployment.get('pipeline')} · {deployment.get('state')}"
    ]
    if deployment.get("reason"):
        lines.append(f"  {deployment['reason']}")
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
    return wrap(f'<div class="wc-card">{_table(titles, rows, numbers={3})}</div>')


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
    return "".join(f'<div class="wc-note">{_text(note)}</div>' for note in notes)


def curl_line(deployment: Json) -> str:
    """A shell command that calls ``deployment``, with a placeholder per parameter."""
    url = str(deployment.get("invoke_url") or deployment.get("url") or "")
    body = fmt.short({"parameters": example_parameters(deployment.get("input_schema"))}, 100_000)
    quoted = body.replace("'", "'\\''")
    return (
        f"curl -X POST '{url}' \\\n"
        f'  -H "Authorization: token $JUPYTER_TOKEN" -H "Content-Type: application/json" \\\n'
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
    "string": "…",
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


# -- graphs and tables -----------------------------------------------------------------------


def graph_html(graph: GraphLike, *, title: str = "", note: str = "") -> str:
    """A graph as a whole output, with a title line where one is given."""
    head = (
        f'<div class="wc-head"><span class="wc-name">{_text(title)}</span> '
        f'<span class="wc-dim">{_text(note)}</span></div>'
        if title
        else ""
    )
    drawn = graph_svg(graph)
    part = f'<div class="wc-graph{" wc-part" if head else ""}">{drawn}</div>' if drawn else ""
    return wrap(f'<div class="wc-card">{head}{part}</div>')


def table_html(columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = "") -> str:
    """A plain table, for results of a query where there is no pandas."""
    foot = f'<div class="wc-part wc-dim">{_text(note)}</div>' if note else ""
    return wrap(f'<div class="wc-card">{_table(columns, rows)}{foot}</div>')


def table_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text, columns padded, cells cut at 60 characters."""
    cells = [[fmt.clip(_cell(value), 60) for value in row] for row in rows]
    widths = [
        max(len(name), *(len(row[index]) for row in cells)) if cells else len(name)
        for index, name in enumerate(columns)
    ]
    lines = [list(columns), ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    )


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    clip: Iterable[int] = (),
) -> str:
    right, cut = set(numbers), set(clip)

    def cell(index: int, value: object) -> str:
        names = [name for name, on in (("wc-num", index in right), ("wc-clip", index in cut)) if on]
        marked = f' class="{" ".join(names)}"' if names else ""
        return f"<td{marked}>{_text(fmt.clip(_cell(value), 200))}</td>"

    head = "".join(
        f"<th{' class=wc-num' if index in right else ''}>{_text(name)}</th>"
        for index, name in enumerate(columns)
    )
    body = "".join(
        f"<tr>{''.join(cell(index, value) for index, value in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="wc-scroll"><table class="wc-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else fmt.short(value, 200)


def _values(values: object, label: str = "") -> str:
    """Names and values; a lone ``output`` without its name."""
    title = f'<p class="wc-label">{_text(label)}</p>' if label else ""
    if not isinstance(values, Mapping):
        return f'{title}<pre class="wc-text">{_text(fmt.long(values))}</pre>'
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd><pre>{_text(fmt.long(value))}</pre></dd>"
        for name, value in values.items()
    )
    return f'{title}<dl class="wc-values">{rows}</dl>'


def _fold(title: str, body: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    return f'<details class="wc-part"{state}><summary>{_text(title)}</summary>{body}</details>'


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _text(value: object) -> str:
    return escape("" if value is None else str(value))
