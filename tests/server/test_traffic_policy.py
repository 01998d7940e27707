"""The policy of a split: where a call goes, when a newcomer has to go, and what may be asked."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from warmcell.errors import UsageError
from warmcell_server.bounds import Bounds, bounds_of
from warmcell_server.shadow import AT_ONCE
from warmcell_server.shares import fraction_of, path_of, weights_of
from warmcell_server.traffic import Traffic
from warmcell_server.window import NEWEST, Window

KEYS = [f'{{"customer": {{"id": {number}}}}}'.encode() for number in range(4000)]


def _split(share: float, **more: object) -> Traffic:
    return Traffic("churn", 3, {3: 1 - share, 4: share}, by="customer.id", **more)  # type: ignore[arg-type]


def _where(traffic: Traffic) -> list[int]:
    return [traffic.choose(f"run-{number}", key) for number, key in enumerate(KEYS)]


def test_shares_are_kept_and_keys_stay_with_a_growing_newcomer() -> None:
    """A tenth of the keys goes to the newcomer; with each larger share it keeps all it had."""
    before: set[bytes] = set()
    for share in (0.1, 0.25, 0.5, 0.9, 1.0):
        where = _where(_split(share))
        mine = {key for key, number in zip(KEYS, where, strict=True) if number == 4}
        assert before <= mine
        assert len(mine) == pytest.approx(share * len(KEYS), abs=0.03 * len(KEYS))
        before = mine
    assert len(before) == len(KEYS)


def test_an_older_snapshot_keeps_its_keys_too_when_it_is_the_newcomer() -> None:
    """Going back by steps, from 4 to 3, is as sticky as going forward."""
    small, large = (
        {
            key
            for key in KEYS
            if Traffic("churn", 4, {3: share, 4: 1 - share}, by="customer.id").choose("r", key) == 3
        }
        for share in (0.2, 0.6)
    )
    assert small < large


@pytest.mark.parametrize(
    "same",
    [
        b'{"customer":{"id":7}}',
        b' { "other" : [1, {"id": 8}], "customer" : { "x": 1, "id" : 7 } } ',
        b'{"customer":{"id":7.0}}',
    ],
)
def test_a_key_is_what_json_means_and_not_how_it_is_written(same: bytes) -> None:
    """Spaces, order, neighbours and the run id do not matter."""
    traffic = Traffic("churn", 1, dict.fromkeys(range(1, 9), 0.125), by="customer.id")
    home = traffic.choose("run-1", KEYS[7])
    assert {traffic.choose(f"run-{number}", same) for number in range(50)} == {home}


def test_keys_may_be_objects_and_places_in_a_list() -> None:
    """A path may lead through a list; the order of an object's members is nothing."""
    eight = dict.fromkeys(range(1, 9), 0.125)
    traffic = Traffic("churn", 1, eight, by="rows.1.key")
    one = traffic.choose("a", b'{"rows": [0, {"key": {"a": 1, "b": [2]}}]}')
    assert traffic.choose("b", b'{"rows": [9, {"key": {"b": [2], "a": 1}}]}') == one
    others = {traffic.choose("a", b'{"rows": [0, {"key": %d}]}' % n) for n in range(60)}
    assert others == set(eight)


@pytest.mark.parametrize(
    "without",
    [b"{}", b'{"customer": null}', b'{"customer": {"id": null}}', b'{"customer": 5}', b"\x00",
     b'{"customer": []}', b'{"customer": [1]}', b"", b"[1, 2]"],
)  # fmt: skip
def test_what_has_no_key_goes_by_its_run(without: bytes) -> None:
    """Parameters without the key, or that are no JSON, are shared among the snapshots too, and a
    run that is sent again goes where it went."""
    traffic = _split(0.5)
    where = Counter(traffic.choose(f"run-{number}", without) for number in range(400))
    assert min(where[3], where[4]) > 120
    assert traffic.choose("run-7", without) == traffic.choose("run-7", b"{}")


def test_deployments_share_their_keys_differently() -> None:
    """The customers of one deployment's newcomer are not those of every other's."""
    other = Traffic("fraud", 3, {3: 0.5, 4: 0.5}, by="customer.id")
    pairs = Counter(zip(_where(_split(0.5)), _where(other), strict=True))
    assert min(pairs[a, b] for a in (3, 4) for b in (3, 4)) > 0.2 * len(KEYS)


def test_a_share_of_nothing_is_served_nothing() -> None:
    """A snapshot that is only warm gets no call; it is held all the same."""
    traffic = Traffic("churn", 3, {3: 1.0, 4: 0.0})
    assert set(_where(traffic)) == {3}
    assert traffic.snapshots == {3, 4}
    assert not traffic.plain
    assert set(_where(Traffic("churn", 3, {4: 1.0}))) == {4}  # 3 is held, to go back to


# -- bounds ----------------------------------------------------------------------------------------


def _fail(traffic: Traffic, good: int, bad: int, status: str = "failed") -> list[str | None]:
    said = [traffic.ended(4, "succeeded", 0.01) for _ in range(good)]
    return said + [traffic.ended(4, status, 0.01) for _ in range(bad)]


@pytest.mark.parametrize("status", ["failed", "timed_out", "lost"])
def test_a_newcomer_that_fails_too_often_loses_its_share_at_once(status: str) -> None:
    """With 20 runs and 5 %, the second failure is one too many; it is said once."""
    traffic = _split(0.5, abort_if=Bounds(error_rate=0.05, min_runs=20))
    said = _fail(traffic, 18, 2, status)
    assert said[:-1] == [None] * 19
    assert said[-1] == (
        "Snapshot 4 failed 2 of its newest 20 calls (10.0%); error_rate allows 5.0%."
    )
    assert set(_where(traffic)) == {3}
    assert traffic.plain
    assert traffic.aborted is not None
    assert (traffic.aborted.snapshot, traffic.aborted.weights) == (4, {3: 0.5, 4: 0.5})
    assert _fail(traffic, 0, 5, status) == [None] * 5  # those that were in flight


@pytest.mark.parametrize("status", ["invalid", "cancelled"])
def test_what_callers_do_wrong_is_no_fault_of_the_newcomer(status: str) -> None:
    """Parameters that do not fit, and cancels, count neither as errors nor as runs."""
    traffic = _split(0.5, abort_if=Bounds(error_rate=0.0, p95=0.001, min_runs=1))
    assert _fail(traffic, 0, 50, status) == [None] * 50
    assert traffic.windows[4].counted == 0
    assert traffic.windows[4].runs[status] == 50


def test_faults_of_the_main_snapshot_abort_nothing() -> None:
    """Whatever the main snapshot does, there is nothing to go back to."""
    traffic = _split(0.5, abort_if=Bounds(error_rate=0.05, min_runs=1))
    assert [traffic.ended(3, "failed", 1.0) for _ in range(30)] == [None] * 30
    assert traffic.ended(9, "failed", 1.0) is None  # takes no part


def test_a_slow_newcomer_loses_its_share() -> None:
    """More than 5 % of its calls above the bound: the p95 is above it. Failures at once do not
    hide that."""
    traffic = _split(0.5, abort_if=Bounds(p95=0.8, min_runs=20))
    for _ in range(30):
        assert traffic.ended(4, "failed", 0.0001) is None
    for _ in range(38):
        assert traffic.ended(4, "succeeded", 0.1) is None
    assert traffic.ended(4, "succeeded", 0.9) is None
    assert traffic.ended(4, "timed_out", 3.0) is None  # the 2nd of 40: 95 % are within 0.1 s
    assert traffic.ended(4, "succeeded", 0.9) == (
        "The p95 of snapshot 4 is 0.9 s over its newest 41 calls; p95 allows 0.8 s."
    )


def test_only_the_newest_calls_count() -> None:
    """Old failures leave the window; new ones are not diluted by a long good past."""
    window = Window()
    for _ in range(5 * NEWEST):
        window.add("succeeded", 1.0)
    for _ in range(NEWEST // 10):
        window.add("failed", 1.0)
    assert window.error_rate == 0.1
    assert Bounds(error_rate=0.09).broken(4, window) is not None
    for _ in range(NEWEST):
        window.add("succeeded", 2.0)
    assert (window.error_rate, window.p95, window.seen) == (0.0, 2.0, NEWEST)


# -- changes ---------------------------------------------------------------------------------------


def test_figures_go_on_when_the_share_grows_and_begin_anew_after_an_abort() -> None:
    """A window that broke a bound would break it again at once."""
    first = _split(0.1, abort_if=Bounds(error_rate=0.05, min_runs=5))
    _fail(first, 10, 0)
    second = _split(0.5, abort_if=Bounds(error_rate=0.05, min_runs=5))
    second.follow(first)
    assert second.windows[4].counted == 10
    assert second.ended(4, "failed", 0.1) is not None
    third = _split(0.1, abort_if=Bounds(error_rate=0.05, min_runs=5))
    third.follow(second)
    assert third.windows[4].counted == 0
    assert third.ended(4, "succeeded", 0.1) is None


def test_a_newcomer_beside_others_takes_from_each() -> None:
    """Who is there keeps the proportions; what had everything goes back to the main one."""
    traffic = Traffic("churn", 3, {3: 0.9, 4: 0.1})
    assert traffic.beside(5, 0.5) == pytest.approx({3: 0.45, 4: 0.05, 5: 0.5})
    assert traffic.beside(4, 0.0) == {3: 1.0, 4: 0.0}
    assert Traffic("churn", 3, {4: 1.0}).beside(4, 0.25) == {3: 0.75, 4: 0.25}
    with pytest.raises(UsageError, match="snapshot 3, which 'churn' serves already"):
        traffic.beside(3, 0.5)


def test_a_split_comes_back_as_it_was_kept() -> None:
    """Everything that decides where a call goes is in the stored form; the abort's cause too."""
    traffic = _split(0.3, abort_if=Bounds(error_rate=0.05, p95=1.5, min_runs=7), shadows={5: 0.25})
    for stored in (traffic.stored(), msgspec.json.decode(traffic.stored())):
        again = Traffic.load("churn", 3, stored)
        assert _where(again) == _where(traffic)
        assert again.describe() == traffic.describe()
    _fail(traffic, 0, 7)
    again = Traffic.load("churn", 3, traffic.stored())
    assert again.aborted == traffic.aborted
    assert again.describe()["aborted"] == traffic.describe()["aborted"]
    assert set(_where(again)) == {3}


def test_shadows_execute_a_share_and_never_more_than_they_can() -> None:
    """What finds a shadow busy is dropped and counted; the same run is always chosen alike."""
    traffic = Traffic("churn", 3, {3: 1.0}, shadows={4: 0.25, 5: 1.0})
    chosen = Counter[int]()
    for number in range(1000):
        for snapshot in traffic.shadows(f"run-{number}"):
            chosen[snapshot] += 1
            traffic.shadowed[snapshot].ended("same")
    assert chosen[5] == 1000
    assert chosen[4] == pytest.approx(250, abs=60)
    for number in range(AT_ONCE + 3):
        traffic.shadows(f"more-{number}")
    assert (traffic.shadowed[5].in_flight, traffic.shadowed[5].dropped) == (AT_ONCE, 3)
    assert traffic.snapshots == {3, 4, 5}


# -- what may be asked -----------------------------------------------------------------------------


def test_weights_are_shares_by_number() -> None:
    """Numbers may be texts, as JSON has them; sums need not be exact."""
    assert weights_of({"3": 0.7, "4": 0.2, "5": 0.1}) == {3: 0.7, 4: 0.2, 5: 0.1}
    assert weights_of({3: 1, 4: 0}) == {3: 1.0, 4: 0.0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({3: 90, 4: 10}, "snapshot 3 is 90, more than 1. Shares are no percentages: write 0.9 for"),
        ({3: 0.9, 4: 0.2}, "sum to 1.1, not to 1"),
        ({3: 0.9}, "sum to 0.9, not to 1"),
        ({}, "no weights"),
        ([0.9, 0.1], "no weights"),
        ({"newest": 1.0}, "'newest' is no snapshot number"),
        ({0: 1.0}, "'0' is no snapshot number"),
        ({1.5: 1.0}, "'1.5' is no snapshot number"),
        ({3: -0.1, 4: 1.1}, "snapshot 3 is -0.1. A share is a number from 0 to 1"),
        ({3: float("nan")}, "snapshot 3 is nan"),
        ({3: True}, "snapshot 3 is True"),
        ({3: "all"}, "snapshot 3 is 'all'"),
        ({3: 0.5, "03": 0.5}, "Snapshot 3 has two weights"),
        (dict.fromkeys(range(1, 10), 1 / 9), "at most 8"),
    ],
)
def test_wrong_weights_are_named(given: object, said: str) -> None:
    """Each error says what was wrong and what would be right."""
    with pytest.raises(UsageError) as error:
        weights_of(given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"errors": 0.1}, "abort_if has no 'errors'. It has error_rate, p95, min_runs"),
        ({}, "bounds nothing"),
        ({"min_runs": 5}, "bounds nothing"),
        ({"error_rate": 5}, "error_rate of abort_if is 5"),
        ({"error_rate": "1%"}, "error_rate of abort_if is '1%'"),
        ({"p95": 0}, "p95 of abort_if is 0"),
        ({"p95": float("inf")}, "p95 of abort_if is inf"),
        ({"p95": 1, "min_runs": 0}, "min_runs of abort_if is 0"),
        ({"p95": 1, "min_runs": 2.5}, "min_runs of abort_if is 2.5"),
        ("5%", "abort_if is '5%'"),
    ],
)
def test_wrong_bounds_are_named(given: object, said: str) -> None:
    """A bound that could never be broken, or always is, is refused."""
    with pytest.raises(UsageError) as error:
        bounds_of(given)
    assert said in str(error.value)


def test_wrong_paths_and_fractions_are_named() -> None:
    """A path has no empty part, a shadow executes something."""
    assert path_of("customer.id") == "customer.id"
    assert bounds_of({"error_rate": 0.05}) == Bounds(error_rate=0.05, min_runs=20)
    for path in ("", "customer.", ".id", 7):
        with pytest.raises(UsageError, match="name of a parameter"):
            path_of(path)
    for share in (0, -1, 2, "all", None):
        with pytest.raises(UsageError, match="fraction of a shadow is"):
            fraction_of(share)
    assert fraction_of(1) == 1.0
