"""Runs as static HTML and text: one with its parts, or a table of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmcell_widgets import formatting as fmt
from warmcell_widgets.drawing import GraphLike, graph_svg, views
from warmcell_widgets.markup import (
    Json,
    count,
    fold,
    status_html,
    status_mark,
    table,
    table_text,
    text,
    values,
    wrap,
)
from warmcell_widgets.noted import fresh_html, noted_html, replay_html, reused_html

MAX_LOG_LINES = 200
MOST_DRAWN = 60


# -- a run -----------------------------------------------------------------------------------


def run_html(run: Json, *, graph: GraphLike | None = None) -> str:
    """One run: status, outputs, error, and folded the steps, inputs and logs.

    ``run`` is the JSON of ``GET api/v1/runs/{id}``; the lists of parts may be missing. ``graph``
    is what is drawn with the states of the steps; without it the steps themselves are.
    """
    return wrap(f'<div class="wc-card">{run_body(run, graph=graph)}</div>')


def run_body(run: Json, *, graph: GraphLike | None = None) -> str:
    """The inside of :func:`run_html`, without style sheet and frame."""
    parts = [_run_head(run)]
    if run.get("error"):
        parts.append(f'<div class="wc-part">{error_html(run["error"])}</div>')
    if run.get("outputs"):
        parts.append(f'<div class="wc-part">{values(run["outputs"], "outputs")}</div>')
    steps = run.get("steps") or []
    if graph is None and 1 < len(steps) <= MOST_DRAWN:
        graph = steps
    if graph is not None:
        parts.append(f'<div class="wc-part wc-graph">{run_graph(graph, steps)}</div>')
    if steps:
        parts.append(fold(f"{count(steps, 'step')}", steps_html(steps) + fresh_html(steps)))
    if run.get("parameters"):
        parts.append(fold("inputs", values(run["parameters"])))
    parts.append(noted_html(run))
    if run.get("artifacts"):
        parts.append(fold(count(run["artifacts"], "artifact"), _artifacts(run["artifacts"])))
    if run.get("logs"):
        parts.append(fold("log", logs_html(run["logs"])))
    return "".join([*parts, replay_html(run)])


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
        f'<span class="wc-name">{text(run.get("pipeline"))}</span>',
        f"<span>{text(fmt.duration(fmt.run_seconds(run)))}</span>",
        f'<span class="wc-dim">{text(where)}</span>',
        f'<span class="wc-dim wc-push" title="{text(identifier)}">'
        f"{text(fmt.clock(run.get('created_at')))} · run {text(fmt.short_id(identifier))}</span>",
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


def error_html(error: object) -> str:
    """An error of a run: type, message, the way out, and the traceback folded."""
    if not isinstance(error, Mapping):
        return f'<div class="wc-error">{text(fmt.plain(error))}</div>'
    where = f" in step <b>{text(error['step'])}</b>" if error.get("step") else ""
    parts = [f"<b>{text(error.get('type') or 'Error')}</b>{where}"]
    if error.get("message"):
        parts.append(f'<pre class="wc-text">{text(fmt.plain(error["message"]))}</pre>')
    if error.get("hint"):
        parts.append(f"<p>{text(error['hint'])}</p>")
    if error.get("traceback"):
        trace = text(fmt.plain(error["traceback"]))
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
            f"<td>{status_mark(step.get('status'))} {text(step.get('step'))}{tries}"
            f"{reused_html(step)}</td>"
            f'<td class="wc-lane">{_bar(step, first, span, seconds)}</td>'
            f'<td class="wc-num">{text(fmt.duration(seconds))}</td>'
        )
        if step.get("error"):
            rows.append(f'<td colspan="3" class="wc-wrap">{error_html(step["error"])}</td>')
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wc-scroll"><table class="wc-table"><tbody>{body}</tbody></table></div>'


def _bar(step: Json, first: Any, span: float, seconds: float | None) -> str:
    begin = fmt.between(first, step.get("started_at"))
    if begin is None or span <= 0:
        return '<div class="wc-track"></div>'
    left = min(100.0 * begin / span, 99.0)
    width = min(100.0 * (seconds if seconds is not None else span - begin) / span, 100.0 - left)
    return (
        f'<div class="wc-track"><div class="wc-bar wc-{text(step.get("status"))}" '
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
        piece = fmt.clip(fmt.plain(record.get("text", "")), 8000)
        shown += max(piece.count("\n"), 1)
        kind = "wc-stderr" if record.get("stream") == "stderr" else ""
        step = str(record.get("step") or "")
        if not blocks or blocks[-1][0] != step:
            blocks.append((step, []))
        blocks[-1][1].append(f'<span class="{kind}">{text(piece)}</span>' if kind else text(piece))
    parts = []
    for step, pieces in blocks:
        title = f'<p class="wc-origin">{text(step)}</p>' if step else ""
        parts.append(f'{title}<pre class="wc-text">{"".join(pieces).rstrip()}</pre>')
    if shown >= MAX_LOG_LINES:
        parts.append('<p class="wc-dim">The rest is in <code>Client().get_run(id).logs</code>.</p>')
    return "".join(parts)


def _artifacts(artifacts: Sequence[Json]) -> str:
    rows = [
        (
            f"{item.get('step')}.{item.get('name')}",
            f"{item['artifact']} {item.get('version')}" if item.get("artifact") else "",
            item.get("kind"),
            item.get("type"),
            item.get("preview") or fmt.short(item.get("value"), 80),
            fmt.size(item.get("size")),
        )
        for item in artifacts
    ]
    titles = ("output", "artifact", "kind", "type", "value", "size")
    return table(titles, rows, numbers={5}, clip={4})


# -- many runs -------------------------------------------------------------------------------


def runs_html(
    runs: Sequence[Json], *, title: str = "Runs", more: bool = False, as_of: object = None
) -> str:
    """A table of runs, newest first as given. ``more`` says that there are older ones; ``as_of``
    is the time for which the table is true."""
    note = "newest first" + (", older ones not shown" if more else "")
    note += f", as of {fmt.clock(as_of)}" if as_of else ""
    head = (
        f'<div class="wc-head"><span class="wc-name">{text(title)}</span>'
        f'<span class="wc-dim">{text(count(runs, "run"))}, {note}</span></div>'
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
        note = f' <span class="wc-stderr">{text(fmt.clip(fmt.plain(message), 120))}</span>'
    else:
        note = ""
    began = fmt.clock(run.get("started_at") or run.get("created_at"))
    brief = text(fmt.clip(parameters, 80)) + note
    last = text(fmt.short_id(identifier))
    cells = (
        f"<td>{status_html(run.get('status'))}</td>",
        f"<td>{text(run.get('pipeline'))}</td>",
        f'<td class="wc-dim">{text(_served(run))}</td>',
        f'<td class="wc-dim">{text(began)}</td>',
        f'<td class="wc-num">{text(fmt.duration(fmt.run_seconds(run)))}</td>',
        f'<td class="wc-clip" title="{text(parameters)}">{brief}</td>',
        f'<td class="wc-mono wc-dim" title="{text(identifier)}">{last}</td>',
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
