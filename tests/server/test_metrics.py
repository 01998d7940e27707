"""What a deployment measures of its calls, as Prometheus and browsers read it."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell_server.measures import BOUNDS, OTHER, STEP_NAMES, Histogram, Measures
from warmcell_server.timing import MOST, server_timing

CELLS = """\
import threading
entered, gate = threading.Event(), threading.Event()

@step
def half(x: int) -> float:
    return x / 2

@step
def check(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return x

@pipeline
def halving(x: int) -> float:
    return check(half(x))

@step
def hold(x: int) -> int:
    entered.set()
    gate.wait()
    return x

@pipeline
def holding(x: int) -> int:
    return hold(x)

halving.deploy("metered")
holding.deploy("metered-narrow", concurrency=1, max_queue=1)
"""


@pytest.fixture(scope="module")
def metered(serving: JupyterServer, author: Kernel) -> JupyterServer:
    """The plain server with deployments that nobody else calls."""
    author.run(CELLS)
    return serving


def samples(text: str, deployment: str) -> dict[tuple[str, str], float]:
    """Samples of one deployment by name and by the values of their other labels."""
    return {
        (
            sample.name.removeprefix("warmcell_"),
            ",".join(v for name, v in sorted(sample.labels.items()) if name != "deployment"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("deployment") == deployment
    }


def test_runs_are_counted_by_how_they_ended(metered: JupyterServer) -> None:
    """Every run is in its status, in the latency and in its steps, but for those that never ran."""
    for parameters in ({"x": 4}, {"x": 6}, {"x": -2}, {"x": "many"}):
        metered.invoke("metered", parameters)
    found = samples(metered.get("warmcell/metered/metrics").text, "metered")
    assert found["runs_total", "succeeded"] == 2
    assert found["runs_total", "failed"] == 1
    assert found["runs_total", "invalid"] == 1
    assert found["runs_total", "timed_out"] == 0
    assert found["call_duration_seconds_count", ""] == 3
    assert found["queue_duration_seconds_count", ""] == 3
    assert found["step_duration_seconds_count", "half"] == 3
    assert found["step_duration_seconds_count", "check"] == 3
    assert found["ready", ""] == 1
    assert found["starved", ""] == 0
    assert found["worker_silent_seconds", ""] >= 0
    assert found["call_duration_seconds_sum", ""] >= found["step_duration_seconds_sum", "half"]


def test_buckets_add_up(metered: JupyterServer) -> None:
    """Buckets grow with their bound, the last has all."""
    metered.invoke("metered", {"x": 4})
    found = samples(metered.get("warmcell/metered/metrics").text, "metered")
    for name, step in (("call", ""), ("queue", ""), ("step", "half")):
        counts = [
            found[f"{name}_duration_seconds_bucket", ",".join(filter(None, (bound, step)))]
            for bound in (*map(repr, BOUNDS), "+Inf")
        ]
        assert counts == sorted(counts)
        assert counts[-1] == found[f"{name}_duration_seconds_count", step]


def test_what_waits_and_what_is_refused(metered: JupyterServer, author: Kernel) -> None:
    """Gauges show the state of now, and a call that found no place is counted as such."""

    def now() -> dict[tuple[str, str], float]:
        return samples(metered.get("warmcell/metered-narrow/metrics").text, "metered-narrow")

    author.run("entered.clear(); gate.clear()")
    before = now().get(("refused_total", "queue_full"), 0)
    with ThreadPoolExecutor(2) as pool:
        try:
            first = pool.submit(metered.invoke, "metered-narrow", {"x": 1})
            author.run("assert entered.wait(20)")
            second = pool.submit(metered.invoke, "metered-narrow", {"x": 2})
            while now()["calls_queued", ""] < 1:
                assert not second.done()
            assert metered.invoke("metered-narrow", {"x": 3}).status == 429
            assert now()["calls_in_flight", ""] == 1
        finally:
            author.run("gate.set()")
        assert (first.result().status, second.result().status) == (200, 200)
    found = now()
    assert found["calls_in_flight", ""] == found["calls_queued", ""] == 0
    assert found["refused_total", "queue_full"] == before + 1
    assert found["refused_total", "no_worker"] == 0
    assert found["runs_total", "succeeded"] == 2


def test_jupyters_own_metrics_have_them(metered: JupyterServer) -> None:
    """Who scrapes Jupyter's own metrics already gets ours with them, of every deployment."""
    text = metered.get("metrics").text
    assert "http_request_duration_seconds" in text
    for name in ("add", "metered", "metered-narrow"):
        assert samples(text, name)["ready", ""] == 1


def test_the_answer_has_the_times_of_its_steps(metered: JupyterServer) -> None:
    """``Server-Timing`` lists the queue and the steps in their order, in milliseconds."""
    timing = metered.invoke("metered", {"x": 4}).headers["server-timing"]
    names = [entry.partition(";dur=")[0] for entry in timing.split(", ")]
    assert names == ["queue", "half", "check"]
    assert all(float(entry.partition(";dur=")[2]) >= 0 for entry in timing.split(", "))


def test_a_header_has_any_name_and_an_end() -> None:
    """Names that are no token are described, a name is cut, and long lists are summed up."""
    assert (
        server_timing(3012, [("a", 12000), ("b", 1)]) == "queue;dur=3.012, a;dur=12.0, b;dur=0.001"
    )
    odd = server_timing(0, [("größe", 1), ('a"\r\nb', 1), ("x" * 300, 1)])
    assert odd.isascii()
    assert "\n" not in odd
    assert odd.split(", ")[1] == 'step-0;dur=0.001;desc="gr%C3%B6%C3%9Fe"'
    assert len(odd) < 250
    many = server_timing(0, [(f"s{i}", 1000) for i in range(MOST + 5)])
    assert many.endswith('rest;dur=5.0;desc="5 more steps"')


def test_a_histogram_includes_its_bounds() -> None:
    """A duration that equals a bound is not above it."""
    histogram = Histogram()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, math.inf):
        histogram.add(seconds)
    assert [count for _, count in histogram.buckets()][:2] == [2, 3]
    assert histogram.buckets()[-1] == ("+Inf", 4)


def test_names_of_steps_are_bounded() -> None:
    """However many names a body makes up, there is only so much to scrape."""
    measures = Measures()
    for number in range(STEP_NAMES * 2):
        measures.ended("succeeded", 1.0, 0.0, [(f"step_{number}", 1000)])
    assert len(measures.steps) == STEP_NAMES + 1
    assert measures.steps[OTHER].buckets()[-1][1] == STEP_NAMES
