"""A deployment's condition as Prometheus text. Derived from its state, never counted beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from warmcell_server.deployment import Deployment

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_GAUGES: list[tuple[str, str, Callable[[Deployment], float | None]]] = [
    ("ready", "1 while a worker holds the snapshot.", lambda d: float(d.ready)),
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
        "Longest wait for the GIL within the last second in the worker.",
        lambda d: d.vitals.lag if d.vitals else None,
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
    def __init__(self, deployments: Iterable[Deployment]) -> None:
        self._deployments = list(deployments)

    def collect(self) -> Iterator[Metric]:
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(f"warmcell_{name}", text, labels=["deployment"])
            for deployment in self._deployments:
                found = value(deployment)
                if found is not None:
                    gauge.add_metric([deployment.name], found)
            yield gauge
        labels = ["deployment", "ended"]
        runs = CounterMetricFamily("warmcell_runs", "Calls that ended.", labels=labels)
        for deployment in self._deployments:
            failed = deployment.failed_runs
            runs.add_metric([deployment.name, "succeeded"], deployment.total_runs - failed)
            runs.add_metric([deployment.name, "failed"], failed)
        yield runs


def render(deployments: Iterable[Deployment]) -> bytes:
    """Return the metrics of ``deployments``, in a registry of their own, so that no name can clash
    with another extension's."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Deployments(deployments))
    return generate_latest(registry)
