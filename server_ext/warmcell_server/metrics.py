"""A deployment's condition as Prometheus text. Derived from its state, never counted beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from warmcell_server.deployment import Deployment
from warmcell_server.measures import Histogram
from warmcell_server.shadow import OUTCOMES

__all__ = ["CONTENT_TYPE", "expose", "render", "withdraw"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# All that can be, so that a rate over a status that has not happened yet is 0 and not missing.
STATUSES = ("succeeded", "failed", "invalid", "cancelled", "timed_out", "lost")
REFUSALS = ("queue_full", "no_worker")

_GAUGES: list[tuple[str, str, Callable[[Deployment], float | None]]] = [
    ("ready", "1 while a worker holds the snapshot.", lambda d: float(d.ready)),
    (
        "starved",
        "1 while code in the worker's kernel keeps calls from running.",
        lambda d: float(bool(d.starved)),
    ),
    ("snapshot", "Number of the snapshot that is served.", lambda d: d.snapshot),
    ("calls_in_flight", "Calls that a worker executes.", lambda d: d.in_flight),
    ("calls_queued", "Calls that wait for a place.", lambda d: d.queued),
    (
        "last_run_timestamp_seconds",
        "When the last call ended.",
        lambda d: d.last_run_at / 1e6 if d.last_run_at else None,
    ),
    (
        "worker_lag_seconds",
        "Longest wait for the interpreter lock within the last second in the worker.",
        lambda d: d.vitals.lag if d.vitals else None,
    ),
    (
        "worker_silent_seconds",
        "Since when the worker has not been heard of; more than some seconds means that it hangs.",
        lambda d: d.silent,
    ),
    (
        "worker_resident_memory_bytes",
        "Memory of the worker's process.",
        lambda d: d.vitals.rss if d.vitals else None,
    ),
    (
        "worker_stuck_threads",
        "Threads past their deadline that have not returned.",
        lambda d: d.vitals.stuck if d.vitals else None,
    ),
]


class _Deployments(Collector):
    """Metrics of whatever deployments ``find`` names when they are asked for."""

    def __init__(self, find: Callable[[], Iterable[Deployment]]) -> None:
        self._find = find

    def describe(self) -> Iterable[Metric]:
        return []  # else a registry would collect, only to learn the names

    def collect(self) -> Iterator[Metric]:
        deployments = list(self._find())
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(f"warmcell_{name}", text, labels=["deployment"])
            for deployment in deployments:
                found = value(deployment)
                if found is not None:
                    gauge.add_metric([deployment.name], found)
            yield gauge
        runs = CounterMetricFamily(
            "warmcell_runs", "Calls that ended, by how.", labels=["deployment", "status"]
        )
        refused = CounterMetricFamily(
            "warmcell_refused",
            "Calls that were answered 429 or 503 and made no run.",
            labels=["deployment", "reason"],
        )
        for deployment in deployments:
            measures = deployment.measures
            for status in STATUSES:
                runs.add_metric([deployment.name, status], measures.runs[status])
            for reason in REFUSALS:
                refused.add_metric([deployment.name, reason], measures.refused[reason])
        yield runs
        yield refused
        yield _histogram(
            "call_duration_seconds",
            "What callers waited, in the queue and for the run.",
            ((d.name, d.measures.calls) for d in deployments),
        )
        yield _histogram(
            "queue_duration_seconds",
            "How long calls waited for a place.",
            ((d.name, d.measures.queued) for d in deployments),
        )
        steps = HistogramMetricFamily(
            "warmcell_step_duration_seconds",
            "How long steps took; of deployments that record their runs.",
            labels=["deployment", "step"],
        )
        for deployment in deployments:
            for step, found_steps in list(deployment.measures.steps.items()):
                steps.add_metric(
                    [deployment.name, step], found_steps.buckets(), sum_value=found_steps.total
                )
        yield steps
        yield from _traffic(deployments)


def _traffic(deployments: Iterable[Deployment]) -> Iterator[Metric]:
    """What snapshots that share the calls of a deployment do; there while they do, so that the
    numbers of old ones do not pile up."""
    labels = ["deployment", "snapshot"]
    weights = GaugeMetricFamily(
        "warmcell_snapshot_weight", "Share of the calls that a snapshot gets.", labels=labels
    )
    runs = CounterMetricFamily(
        "warmcell_snapshot_runs",
        "Calls that a snapshot answered while it shared them with others.",
        labels=[*labels, "status"],
    )
    shadows = CounterMetricFamily(
        "warmcell_shadow_runs",
        "Calls that a snapshot executed unseen, by how its answers compare.",
        labels=[*labels, "outcome"],
    )
    for deployment in deployments:
        traffic = deployment.traffic
        if traffic is None:
            continue
        for number, window in traffic.windows.items():
            own = [deployment.name, str(number)]
            weights.add_metric(own, traffic.weights.get(number, 0.0))
            for status in STATUSES:
                runs.add_metric([*own, status], window.runs[status])
        for number, shadow in traffic.shadowed.items():
            for outcome in OUTCOMES:
                own = [deployment.name, str(number), outcome]
                shadows.add_metric(own, getattr(shadow, outcome))
    yield weights
    yield runs
    yield shadows


def _histogram(name: str, text: str, found: Iterable[tuple[str, Histogram]]) -> Metric:
    family = HistogramMetricFamily(f"warmcell_{name}", text, labels=["deployment"])
    for deployment, histogram in found:
        family.add_metric([deployment], histogram.buckets(), sum_value=histogram.total)
    return family


def render(deployments: Iterable[Deployment]) -> bytes:
    """Return the metrics of ``deployments``, in a registry of their own, so that no name can clash
    with another extension's."""
    registry = CollectorRegistry(auto_describe=False)
    found = list(deployments)
    registry.register(_Deployments(lambda: found))
    return generate_latest(registry)


# -- beside Jupyter's own ----------------------------------------------------------------------

_exposed: list[Iterable[Deployment]] = []
_collector = _Deployments(lambda: (d for deployments in list(_exposed) for d in list(deployments)))


def expose(deployments: Iterable[Deployment]) -> None:
    """Add what is in ``deployments`` at any time to the process's registry, which Jupyter shows at
    its own ``/metrics``."""
    if not _exposed:
        prometheus_client.REGISTRY.register(_collector)
    _exposed.append(deployments)


def withdraw(deployments: Iterable[Deployment]) -> None:
    """Undo :func:`expose`; harmless when repeated."""
    for index, other in enumerate(_exposed):
        if other is deployments:
            del _exposed[index]
            if not _exposed:
                prometheus_client.REGISTRY.unregister(_collector)
            return
