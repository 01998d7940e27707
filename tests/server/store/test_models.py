"""Models in the store: versions, aliases with their history, and what belongs to a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.store.builders import WAIT, deployment, entry, raw, run
from warmcell.errors import Conflict, InvalidName, NotFound, UsageError
from warmcell.ids import new_id, now
from warmcell.records import ArtifactRecord, DeploymentEntry, RunDetail, VersionRecord
from warmcell_server.store import Store


def read(store: Store, name: str, /, **request: Any) -> Any:
    return store.read(name, **request).result(WAIT)


def change(store: Store, name: str, /, **request: Any) -> Any:
    return store.change(name, **request).result(WAIT)


def make(store: Store, model: str = "churn", **request: Any) -> dict[str, Any]:
    made: dict[str, Any] = change(
        store, "make_model_version", model=model, **({"id": new_id()} | request)
    )
    return made


def stage(store: Store, version: dict[str, Any], stage: str, **request: Any) -> dict[str, Any]:
    moved: dict[str, Any] = change(
        store, "set_stage", model=version["model"], version=version["id"], stage=stage, **request
    )
    return moved


def deploy(store: Store, name: str, **changes: Any) -> None:
    store.append(DeploymentEntry(deployment(name, store.host_id, **changes)))
    assert store.deployments().result(WAIT)  # which waits for what was appended


def version(artifact: str, run_id: str, step: str, role: str | None = None) -> VersionRecord:
    """A stored artifact version that a step of a run made."""
    return VersionRecord(
        new_id(), artifact, "json", "dict", "stored", now(), run_id=run_id, step=step,
        name=artifact, role=role, value=raw({"n": 1}),
    )  # fmt: skip


def test_numbers_and_labels(store: Store) -> None:
    """Versions count per model; a label is another name of its version, and given twice it is the
    same version."""
    first, second = make(store), make(store, version="1.0.5")
    again = make(store, version="1.0.5")
    assert (first["number"], first["version"], second["number"]) == (1, "1", 2)
    assert (again["id"], again["created"]) == (second["id"], False)
    for name in ("1.0.5", "2", 2, "latest", None):
        found = read(store, "model_version", model="churn", version=name)
        assert found["id"] == second["id"], name
    with pytest.raises(Conflict, match=r"has a version '1\.0\.5' already"):
        make(store, version="1.0.5", new=True)
    assert [one["version"] for one in read(store, "model_versions", model="churn")] == [
        "1.0.5", "1",
    ]  # fmt: skip


def test_a_repeated_request_makes_one_version(store: Store) -> None:
    """What a joined host sends once more, because the owner went away, is done once."""
    id_ = new_id()
    assert make(store, id=id_)["number"] == make(store, id=id_)["number"] == 1
    held = make(store)
    move = {"model": "churn", "alias": "best", "version": held["id"], "revision": 0, "user": "ada"}
    assert change(store, "move_alias", **move) == change(store, "move_alias", **move)
    assert len(read(store, "alias_moves", model="churn")) == 1


@pytest.mark.parametrize("label", ["latest", "production", "012", " "])
def test_a_label_that_means_something_else(store: Store, label: str) -> None:
    """Stages and numbers name versions already: a label of that form is refused."""
    with pytest.raises(InvalidName, match="cannot be the name of a version"):
        make(store, version=label)
    with pytest.raises(NotFound):  # and nothing was made half
        read(store, "model", name="churn")


def test_a_label_that_is_a_number_is_the_number(store: Store) -> None:
    """So that both ways to name a version mean the same one, and the next gets the next."""
    assert (make(store, version="3")["number"], make(store)["number"]) == (3, 4)
    with pytest.raises(InvalidName, match="cannot be the name of a version of model 'churn' any"):
        make(store, version="2")


def test_tags_are_put_on_as_everywhere(store: Store) -> None:
    """An exclusive tag moves to the newest version, and the model, which excludes none, is without
    it; one that is given for the model itself is refused."""
    change(store, "create_tag", name="best", exclusive=True)
    first = make(store, tags=["best", "plain"], model_tags=["best", "plain"])
    second = make(store, tags=["best"])
    assert read(store, "model", name="churn")["tags"] == ["plain"]
    ids = {first["id"]: ["plain"], second["id"]: ["best"]}
    for id_, tags in ids.items():
        assert read(store, "model_version", id=id_)["tags"] == tags
    with pytest.raises(UsageError, match="excludes another"):
        change(store, "put_model", name="churn", tags=["best"])


def test_what_is_served_is_not_deleted(store: Store) -> None:
    """A version that a deployment follows stays, and its model, also where its alias is gone."""
    deploy(store, "front")
    held = make(store)
    link = {"kind": "deployment", "subject": "front", "role": "deployment"}
    change(store, "link_model", id=held["id"], **link)
    with pytest.raises(Conflict, match="Version '1' of model 'churn' is what deployment 'front'"):
        change(store, "delete_model_version", id=held["id"])
    with pytest.raises(Conflict, match="is what deployment 'front' serves"):
        change(store, "delete_model", name="churn", force=True)
    deploy(store, "front", state="removed")
    assert change(store, "delete_model", name="churn")["deleted"]


def test_stages(store: Store) -> None:
    """One version is in a stage; another one comes in with force, and archives it."""
    first, second = make(store), make(store)
    assert stage(store, first, "staging")["stage"] == "staging"
    assert stage(store, first, "production")["aliases"] == ["production"]  # no longer in staging
    with pytest.raises(Conflict, match="Version '1' of model 'churn' is in 'production'"):
        stage(store, second, "production")
    stage(store, second, "production", force=True)
    assert read(store, "model_version", model="churn", version="production")["id"] == second["id"]
    archived = read(store, "model_versions", model="churn", stage="archived")
    assert [one["id"] for one in archived] == [first["id"]]
    assert stage(store, second, "none")["stage"] is None
    with pytest.raises(NotFound, match="No version of model 'churn' is in 'production'"):
        read(store, "model_version", model="churn", version="production")
    with pytest.raises(Conflict, match="'latest' is the newest"):
        stage(store, second, "latest")
    with pytest.raises(InvalidName, match="'prod' is no stage"):
        stage(store, second, "prod")


def test_history_and_back(store: Store) -> None:
    """Every move tells who made it, when and why; one call undoes the last."""
    first, second = make(store), make(store)
    stage(store, first, "production", user="ada", reason="first")
    stage(store, second, "production", user="bob", reason="better", force=True)
    back = change(store, "move_back", model="churn", alias="production", user="eve", revision=2)
    assert (back["id"], back["revision"]) == (first["id"], 3)
    moves = read(store, "alias_moves", model="churn", alias="production")
    assert [(one["user"], one["reason"], one["after"]["version"]) for one in moves] == [
        ("eve", None, "1"), ("bob", "better", "2"), ("ada", "first", "1"),
    ]  # fmt: skip
    assert moves[0]["before"]["version"] == "2"
    assert read(store, "model_version", id=first["id"])["stage"] == "production"
    assert read(store, "model_version", id=second["id"])["stage"] == "archived"
    with pytest.raises(Conflict, match="was nowhere else before"):
        change(store, "move_back", model="churn", alias="staging")


def test_compare_and_set(store: Store) -> None:
    """Who moves an alias that was moved meanwhile is told, and nothing is changed; also after it
    was taken away in between."""
    first, second = make(store), make(store)
    change(store, "move_alias", model="churn", alias="best", version=first["id"], revision=0)
    with pytest.raises(Conflict, match="moved meanwhile: it is at 1, revision 1, and not 0"):
        change(store, "move_alias", model="churn", alias="best", version=second["id"], revision=0)
    change(store, "move_alias", model="churn", alias="best", version=None, revision=1)
    with pytest.raises(Conflict, match="it is at nothing, revision 2"):
        change(store, "move_alias", model="churn", alias="best", version=second["id"], revision=1)
    assert read(store, "alias", model="churn", alias="best")["revision"] == 2
    with pytest.raises(Conflict, match="revision 0, and not 7"):
        stage(store, second, "production", revision=7)


@pytest.mark.parametrize("name", ["latest", "7", "a b", "1.0.5"])
def test_an_alias_that_means_something_else(store: Store, name: str) -> None:
    """An alias is no number, no stage that nobody holds alone, and no name of a version."""
    made = make(store, version="1.0.5")
    with pytest.raises(InvalidName):
        change(store, "move_alias", model="churn", alias=name, version=made["id"])


def test_delete(store: Store) -> None:
    """A version that an alias points to stays; a number is never given twice."""
    first, second = make(store, tags=["a"]), make(store)
    stage(store, second, "production")
    with pytest.raises(Conflict, match="production points to it"):
        change(store, "delete_model_version", id=second["id"])
    third = make(store)
    assert change(store, "delete_model_version", id=third["id"]) == {"deleted": True}
    assert make(store)["number"] == 4
    assert read(store, "model_versions", model="churn", tag="a")[0]["id"] == first["id"]
    with pytest.raises(Conflict, match="Version '2' of model 'churn' is in production"):
        change(store, "delete_model", name="churn")
    change(store, "delete_model", name="churn", force=True)
    with pytest.raises(NotFound, match="There is no model 'churn'"):
        read(store, "model", name="churn")
    assert make(store)["number"] == 1


def test_a_model_says_what_it_is(store: Store) -> None:
    """What a model says of itself is kept, changed by name, and found by tag."""
    about = {"license": "MIT", "description": "Who leaves"}
    change(store, "put_model", name="churn", about=about, tags=["b", "a"], user="ada", new=True)
    change(store, "put_model", name="other")
    with pytest.raises(Conflict, match="There is a model 'churn' already"):
        change(store, "put_model", name="churn", new=True)
    changed = change(store, "put_model", name="churn", about={"license": "BSD"}, update=True)
    assert (changed["license"], changed["description"]) == ("BSD", "Who leaves")
    assert (changed["tags"], changed["user"], changed["versions"]) == (["a", "b"], "ada", 0)
    assert [one["name"] for one in read(store, "models", tag="a")] == ["churn"]
    with pytest.raises(NotFound, match="has no version yet"):
        read(store, "model_version", model="churn")
    with pytest.raises(NotFound, match="Models: "):
        change(store, "put_model", name="chrun", update=True)


def test_what_belongs_to_a_version(store: Store) -> None:
    """The artifacts of a run belong to its model version, but those of a step that has a model of
    its own; cached ones do too, and one that was linked has the role that was said."""
    record, before = run(), run()
    data = version("data", record.run_id, "load")
    model = version("churn::fit::trained", record.run_id, "fit", "model")
    other = version("side", record.run_id, "aside")
    cached = version("cached", before.run_id, "slow")
    foreign = version("foreign", before.run_id, "slow")
    store.append(entry(before, RunDetail(versions=[cached, foreign])))
    reused = ArtifactRecord("slow", "cached", "json", "dict", version=cached.id)
    store.append(entry(record, RunDetail(artifacts=[reused], versions=[data, model, other])))
    mine, theirs = make(store, run_id=record.run_id), make(store, model="aside")
    for one, kind, subject in (
        (mine, "run", record.run_id), (theirs, "step", f"{record.run_id}/aside"),
    ):  # fmt: skip
        change(store, "link_model", id=one["id"], kind=kind, subject=subject)

    def names(one: dict[str, Any], **filters: Any) -> set[str]:
        found = read(store, "model_artifacts", id=one["id"], **filters)
        return {artifact["artifact"] for artifact in found}

    assert names(mine) == {"data", "churn::fit::trained", "cached"}
    assert names(mine, role="model") == names(mine, name="trained") == {"churn::fit::trained"}
    assert names(mine, name="data", version=1) == {"data"}
    assert names(theirs) == {"side"}
    change(
        store, "link_model", id=mine["id"], kind="artifact_version", subject=foreign.id,
        role="deployment",
    )  # fmt: skip
    assert names(mine, role="deployment") == {"foreign"}
    with pytest.raises(NotFound, match="no artifact version"):
        change(store, "link_model", id=mine["id"], kind="artifact_version", subject="nothing")


def test_a_served_call_makes_no_version(store: Store) -> None:
    """A version that is asked for on behalf of a call is refused, whoever asks."""
    call, batch = run(deployment="live"), run()
    store.append(entry(call))
    store.append(entry(batch))
    with pytest.raises(Conflict, match="is a call of 'live'"):
        make(store, run_id=call.run_id)
    assert make(store, run_id=batch.run_id)["number"] == 1


def test_a_host_that_joined(store: Store, open_store: Callable[..., Store]) -> None:
    """Models are the same for every host of the store, and so are their errors."""
    joined = open_store()
    assert joined.role == "joined"
    made = make(joined)
    assert read(store, "model_version", id=made["id"])["number"] == 1
    with pytest.raises(NotFound, match="There is no model 'nope'"):
        read(joined, "model", name="nope")
