"""What is noted of a run beside what it did: tags, metadata, results that were taken again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from warmcell.records import TERMINAL
from warmcell_widgets import formatting as fmt
from warmcell_widgets.markup import Json, fold, text, values

__all__ = ["fresh_html", "noted_html", "replay_html", "reused_html", "tags_html"]


def tags_html(tags: Iterable[str]) -> str:
    """Tags as chips."""
    return "".join(f'<span class="wc-tag">{text(tag)}</span>' for tag in tags)


def noted_html(run: Json) -> str:
    """The tags and the metadata of a run, as parts of it."""
    parts = []
    if run.get("tags"):
        parts.append(f'<div class="wc-part">{tags_html(run["tags"])}</div>')
    logged = {
        f"{one['step']}.{one['key']}" if one.get("step") else str(one["key"]): one.get("value")
        for one in run.get("metadata") or ()
    }
    if logged:
        parts.append(fold("metadata", values(logged)))
    return "".join(parts)


def reused_html(step: Json) -> str:
    """That the results of a step were taken again, and from which run."""
    if not step.get("cached"):
        return ""
    run = str(step["cached"])
    return (
        f' <span class="wc-badge" title="The results of run {text(run)}">reused</span>'
        f'<span class="wc-dim"> from {text(fmt.short_id(run))}</span>'
    )


def fresh_html(steps: Sequence[Json]) -> str:
    """Why the results of steps were not taken again: one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for step in steps:
        if step.get("uncached"):
            reasons.setdefault(str(step["uncached"]), []).append(str(step.get("step")))
    lines = "".join(
        f"<div>{text(', '.join(names))} not reused: {text(reason)}</div>"
        for reason, names in reasons.items()
    )
    return f'<div class="wc-sub wc-dim">{lines}</div>' if lines else ""


def replay_html(run: Json) -> str:
    """How to have a run in a notebook, and which run it repeats."""
    if run.get("status") not in TERMINAL or run.get("snapshot") is None:
        return ""
    line = f"Replay it in a notebook: <code>%replay {text(run.get('run_id'))}</code>"
    if run.get("origin"):
        line += f"; it repeats run {text(run['origin'])}"
    return f'<div class="wc-part wc-dim">{line}</div>'
