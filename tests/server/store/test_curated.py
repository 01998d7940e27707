"""Curated visualizations in the store: what is shown with what, in what order, and is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.store.builders import WAIT, deployment, entry, run, snapshot
from warmcell.errors import Conflict, NotFound, UsageError
from warmcell.ids import new_id, now
from warmcell.records import DeploymentEntry, RunDetail, VersionRecord
from warmcell_server.store import Store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """A store of somebody else."""
    opened = Store.open(tmp_path / "other", host_id=new_id(), label="another")
    yield opened
    opened.close()


def report(store: Store, pictures: int = 1, **changes: Any) -> VersionRecord:
    """A run that made a version with so many visualizations."""
    owner = run()
    about = {"visualizations": {f"visualizations/{i}.html": "html" for i in range(pictures)}}
    values: dict[str, Any] = {"kind": "materializer", "type": "Report", "status": "stored"}
    made = VersionRecord(
        new_id(), "report", created_at=now(), run_id=owner.run_id, about=about, **values | changes
    )
    store.append(entry(owner, RunDetail(versions=[made])))
    return made


def show(store: Store, version: str, *on: tuple[str, str], **said: Any) -> str:
    """Show a visualization with things; return its id."""
    resources = [{"kind": kind, "id": name} for kind, name in on]
    request = {"id": new_id(), "number": 0, "layout": "full_width", **said}
    made = store.change("create_curated", version=version, resources=resources, **request)
    return str(made.result(WAIT)["id"])


def shown(store: Store, kind: str, name: str) -> list[str]:
    found = store.read("list_curated", kind=kind, id=name).result(WAIT)
    return [one["id"] for one in found]


def everything(store: Store, made: VersionRecord) -> dict[str, str]:
    """Something of each kind, by its name."""
    store.change("put_model", name="churn-model", about={}, tags=[], new=True, time=now()).result(
        WAIT
    )
    store.add_snapshot(snapshot("a")).result(WAIT)
    store.append(DeploymentEntry(deployment("live", store.host_id)))
    return {
        "model": "churn-model", "deployment": "live", "pipeline": "churn", "snapshot": "churn/1",
        "run": str(made.run_id), "project": "default",
    }  # fmt: skip


def test_it_is_shown_with_each_kind_of_thing(store: Store) -> None:
    """One at a time or all at once; what there is not is refused, and nothing is made then."""
    made = report(store)
    things = everything(store, made)
    ids = [show(store, made.id, pair) for pair in things.items()]
    whole = show(store, made.id, *things.items(), ("model", "churn-model"))
    for (kind, name), one in zip(things.items(), ids, strict=True):
        assert shown(store, kind, name) == [one, whole]
    found = store.read("get_curated", id=whole).result(WAIT)
    assert {one["kind"]: one["id"] for one in found["resources"]} == things
    assert (found["artifact"], found["version"]) == ("report", "1")
    for wrong in things:
        with pytest.raises((NotFound, UsageError)):
            show(store, made.id, ("project", "default"), (wrong, "nothing"))
    with pytest.raises(NotFound):
        show(store, new_id(), ("project", "default"))
    assert len(store.read("list_curated").result(WAIT)) == len(things) + 1
    rows = store.sql("SELECT DISTINCT kind, subject, artifact FROM visualizations").result(WAIT)
    assert {(kind, name) for kind, name, _ in rows.rows} == set(things.items())
    detail = store.get_run(str(made.run_id)).result(WAIT)
    assert [one["id"] for one in detail["visualizations"]] == [ids[4], whole]


def test_which_one_it_is_has_to_be_there(store: Store) -> None:
    """A version has as many as its materializer made, else one."""
    three, plain = report(store, 3), report(store, 0)
    for number in range(3):
        show(store, three.id, ("project", "default"), number=number)
    with pytest.raises(UsageError, match=r"Version 1 of artifact 'report' has no visualization 3"):
        show(store, three.id, ("project", "default"), number=3)
    with pytest.raises(UsageError, match="no visualization 1"):
        show(store, plain.id, ("project", "default"), number=1)


def test_places_order_them(store: Store) -> None:
    """Lower ones first, those without one last, as they were made; also after a change."""
    made = report(store)
    on = ("project", "default")
    late, early = show(store, made.id, on), show(store, made.id, on)
    twenty, ten = show(store, made.id, on, place=20), show(store, made.id, on, place=10)
    between = show(store, made.id, on, place=15)
    assert shown(store, *on) == [ten, between, twenty, late, early]
    changed = store.change("update_curated", id=early, place=0, name="First", layout="half_width")
    found = changed.result(WAIT)
    assert (found["display_name"], found["layout_size"]) == ("First", "half_width")
    assert shown(store, *on) == [early, ten, between, twenty, late]
    store.change("update_curated", id=early, name="Again").result(WAIT)
    assert shown(store, *on)[0] == early, "what is not given stays"
    store.change("delete_curated", id=early).result(WAIT)
    assert early not in shown(store, *on)
    for change in ("update_curated", "delete_curated"):
        with pytest.raises(NotFound):
            store.change(change, id=early).result(WAIT)


def test_what_is_shown_is_kept(store: Store) -> None:
    """With more than the run that made it: of a run it goes as that goes."""
    made, again = report(store), report(store)
    things = everything(store, made)
    one = show(store, made.id, ("model", things["model"]))
    two = show(store, again.id, ("run", things["run"]))
    with pytest.raises(Conflict, match="it is shown with model 'churn-model'"):
        store.change("delete_versions", ids=[made.id]).result(WAIT)
    assert store.change("delete_versions", ids=[again.id]).result(WAIT)["versions"] == 1
    with pytest.raises(NotFound):
        store.read("get_curated", id=two).result(WAIT)
    store.change("delete_model", name="churn-model").result(WAIT)
    with pytest.raises(NotFound):
        store.read("get_curated", id=one).result(WAIT)
    assert store.change("delete_versions", ids=[made.id]).result(WAIT)["versions"] == 1


def test_it_goes_with_its_run(store: Store) -> None:
    made, kept = report(store), report(store)
    show(store, kept.id, ("run", str(made.run_id)))
    stays = show(store, kept.id, ("project", "default"))
    store.prune(max_runs=0).result(WAIT)
    assert [one["id"] for one in store.read("list_curated").result(WAIT)] == [stays]


def test_it_comes_with_an_import(store: Store, other: Store, tmp_path: Path) -> None:
    """A snapshot is the one that it became here; twice brings nothing new."""
    store.add_snapshot(snapshot("mine")).result(WAIT)
    made = report(other)
    things = everything(other, made)
    whole = show(other, made.id, *things.items(), name="All", place=3)
    other.export(str(tmp_path / "out")).result(WAIT)
    came = store.import_(str(tmp_path / "out")).result(WAIT)
    assert came["tables"]["curated"] == len(things)
    found = store.read("get_curated", id=whole).result(WAIT)
    assert (found["display_name"], found["display_order"]) == ("All", 3)
    here = {one["kind"]: one["id"] for one in found["resources"]}
    assert here == things | {"snapshot": "churn/2"}
    again = store.import_(str(tmp_path / "out")).result(WAIT)
    assert again["tables"]["curated"] == 0
