"""Artifact versions in the store: numbered, found, listed, kept while anything uses them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.server.store.builders import WAIT, entry, raw, run, snapshot
from warmcell.errors import Conflict, NotFound, QueryError, WarmcellError
from warmcell.ids import new_id, now
from warmcell.records import (
    ArtifactRecord,
    DetailEntry,
    FileRecord,
    MetadataRecord,
    RunDetail,
    RunRecord,
    TagRecord,
    UseRecord,
    VersionRecord,
)
from warmcell_server.store import Store

DAY = 86_400_000_000
BLOBS = [f"{number:032x}" for number in range(100, 104)]


def version(artifact: str = "churn-model", **changes: Any) -> VersionRecord:
    """A version that is stored, with a value."""
    values: dict[str, Any] = {
        "id": new_id(),
        "artifact": artifact,
        "kind": "json",
        "type": "builtins.dict",
        "status": "stored",
        "created_at": now(),
        "size": 100,
        "value": raw({"n": 1}),
    }
    return VersionRecord(**(values | changes))


def made(store: Store, *versions: VersionRecord, record: RunRecord | None = None) -> RunRecord:
    """Have a run give ``versions``."""
    record = record or run()
    for one in versions:
        one.run_id, one.step, one.name = record.run_id, "train", one.name or "output"
        one.pipeline = record.pipeline
    outputs = [ArtifactRecord("train", "output", v.kind, v.type, version=v.id) for v in versions]
    store.append(entry(record, RunDetail(artifacts=outputs, versions=list(versions))))
    return record


def use(store: Store, one: VersionRecord, record: RunRecord | None = None) -> RunRecord:
    """Have another run take a version as its input ``model``."""
    record = record or run()
    taken = UseRecord(record.run_id, "model", one.id, now(), "score")
    store.append(entry(record, RunDetail(uses=[taken])))
    return record


def tag(store: Store, one: VersionRecord, *names: str) -> None:
    tags = [TagRecord(name, "artifact_version", one.id, now()) for name in names]
    store.append(DetailEntry(one.run_id or "", raw(RunDetail(tags=tags))))


def blob(store: Store, digest: str, size: int = 1000) -> Path:
    """A blob that was written two hours ago."""
    path = store.blobs / digest
    path.write_bytes(b"x" * size)
    then = time.time() - 7200
    os.utime(path, (then, then))
    return path


def text(one: VersionRecord) -> str:
    return bytes(raw(one)).decode()


def ids(found: Future[Any]) -> list[str]:
    return [entry["id"] for entry in found.result(WAIT)]


def error(future: Future[Any]) -> WarmcellError:
    raised = future.exception(WAIT)
    assert isinstance(raised, WarmcellError), raised
    return raised


class TestFinding:
    def test_by_id_number_label_and_latest(self, store: Store) -> None:
        """A version is found by its id, and by its artifact with a number, a label, or nothing."""
        first, second, third = version(), version(version="candidate"), version("other")
        made(store, first, second, third)
        for wanted, expected in (
            ({"name": first.id}, first),
            ({"name": "churn-model", "version": "1"}, first),
            ({"name": "churn-model", "version": "2"}, second),
            ({"name": "churn-model", "version": "candidate"}, second),
            ({"name": "churn-model", "version": "latest"}, second),
            ({"name": "churn-model"}, second),
            ({"name": "other"}, third),
        ):
            assert store.read("find_version", **wanted).result(WAIT)["id"] == expected.id

    def test_all_of_it(self, store: Store) -> None:
        """What is found has everything that a load and a reader need."""
        files = [FileRecord("data.npy", BLOBS[0], 80)]
        one = version(
            value=None, files=files, facts={"shape": [4, 5]}, about={"signature": "s"},
            kind="numpy", digest="d", role="data", user="ada",
        )  # fmt: skip
        record = made(store, one)
        said = MetadataRecord("artifact_version", one.id, "accuracy", raw(0.9), "float", now())
        store.append(DetailEntry(record.run_id, raw(RunDetail(metadata=[said]))))
        tag(store, one, "prod", "best")
        found = store.read("find_version", name=one.id).result(WAIT)
        assert found["created_at"].endswith("Z")
        expected = {
            "id": one.id, "artifact": "churn-model", "number": 1, "version": "1",
            "run_id": record.run_id, "step": "train", "name": "output", "pipeline": "churn",
            "kind": "numpy", "type": "builtins.dict", "role": "data", "size": 100, "digest": "d",
            "value": None, "files": [{"name": "data.npy", "blob": BLOBS[0], "size": 80}],
            "facts": {"shape": [4, 5]}, "about": {"signature": "s"}, "status": "stored",
            "user": "ada", "tags": ["best", "prod"], "metadata": {"accuracy": 0.9},
            "metadata_types": {"accuracy": "float"}, "kept_by": [],
        }  # fmt: skip
        assert {name: value for name, value in found.items() if name != "created_at"} == expected

    def test_by_tag(self, store: Store) -> None:
        """A tag picks the newest version that has it."""
        versions = [version() for _ in range(3)]
        made(store, *versions)
        tag(store, versions[0], "prod")
        tag(store, versions[1], "prod")
        found = store.read("find_version", name="churn-model", tag="prod").result(WAIT)
        assert found["id"] == versions[1].id
        raised = error(store.read("find_version", name="churn-model", tag="none"))
        assert isinstance(raised, NotFound)
        assert "tagged 'none'" in str(raised)

    def test_the_latest_is_one_that_is_whole(self, store: Store) -> None:
        """What is still being written, or was lost, is found by its number and never as the
        latest."""
        whole, half = version(), version(status="pending", value=None)
        made(store, whole, half)
        assert store.read("find_version", name="churn-model").result(WAIT)["id"] == whole.id
        by_number = store.read("find_version", name="churn-model", version="2").result(WAIT)
        assert by_number["status"] == "pending"
        made(store, version("half", status="pending", value=None))
        raised = error(store.read("find_version", name="half"))
        assert isinstance(raised, Conflict)
        assert "pending" in str(raised)

    def test_what_there_is_not(self, store: Store) -> None:
        """The error names what there is instead."""
        made(store, version("churn::train::output"))
        for request, said in (
            ({"name": "nothing"}, "no artifact"),
            ({"name": "other::train::output"}, "'churn::train::output'"),
            ({"name": "churn::train::output", "version": "9"}, "Its newest versions: 1."),
        ):
            raised = error(store.read("find_version", **request))
            assert isinstance(raised, NotFound)
            assert said in str(raised)
        assert isinstance(error(store.read("find_version", nam="x")), QueryError)


class TestComingIn:
    def test_a_version_becomes_whole(self, store: Store) -> None:
        """First pending, then stored: one version, with its number; never back again."""
        one = version(status="pending", value=None)
        record = made(store, one)
        other = version()
        made(store, other)
        one.status, one.size, one.value = "stored", 7, raw([1])
        store.append(DetailEntry(record.run_id, raw(RunDetail(versions=[one]))))
        assert store.read("find_version", name=one.id).result(WAIT)["status"] == "stored"
        one.status = "pending"
        store.append(DetailEntry(record.run_id, raw(RunDetail(versions=[one]))))
        found = store.read("find_version", name=one.id).result(WAIT)
        assert (found["number"], found["status"], found["value"]) == (1, "stored", [1])
        assert store.read("find_version", name=other.id).result(WAIT)["number"] == 2

    def test_outside_of_a_run(self, store: Store) -> None:
        """A version that no run made has a number at once; a label counts once only, and saying
        the same twice is harmless."""
        one = version(version="a")
        request = {"record": text(one), "host_id": store.host_id}
        for _ in range(2):
            said = store.change("put_version", **request).result(WAIT)
            assert said == {"id": one.id, "number": 1, "version": "a"}
        again = text(version(version="a"))
        raised = error(store.change("put_version", record=again))
        assert isinstance(raised, Conflict)
        assert "'a' already" in str(raised)
        assert isinstance(error(store.change("put_version", record="{}")), QueryError)

        raised = error(store.change("put_version", record=text(version(id=one.id, digest="d"))))
        assert "has the id" in str(raised)

    def test_signatures_add_up(self, store: Store) -> None:
        """Who trusts a version signs it as well; the same signature counts once."""
        one = version(about={"signature": "a", "form": {}})
        made(store, one)
        for signature in ("b", "b", "a"):
            store.change("sign_version", id=one.id, signature=signature).result(WAIT)
        about = store.read("find_version", name=one.id).result(WAIT)["about"]
        assert about == {"signature": ["b", "a"], "form": {}}
        assert isinstance(error(store.change("sign_version", id="x", signature="a")), NotFound)

    def test_tags_that_come_along(self, store: Store) -> None:
        """What a step's configuration says about tags counts from the first record on."""
        one = version(tags=["prod"])
        made(store, one)
        assert ids(store.read("list_versions", tag="prod")) == [one.id]
        subject = {"kind": "artifact_version", "id": one.id}
        store.change("remove_tags", on=subject, tags=["prod"]).result(WAIT)
        made(store, one)
        assert ids(store.read("list_versions", tag="prod")) == []

    def test_lost_with_the_run(self, store: Store) -> None:
        """When a kernel dies, what it was still writing is lost; what it had written is not."""
        whole, half = version("whole"), version("half", status="pending", value=None)
        record = made(store, whole, half, record=run(status="running", finished_at=None))
        store.append(entry(run(run_id=record.run_id, status="lost")))
        for one, status in ((whole, "stored"), (half, "lost")):
            assert store.read("find_version", name=one.id).result(WAIT)["status"] == status

    def test_lost_with_the_host(self, open_store: Callable[..., Store]) -> None:
        """When a whole host dies as well, and another one opens the store."""
        first = open_store()
        half = version(status="pending", value=None)
        made(first, half)
        first.close()
        assert open_store().read("find_version", name=half.id).result(WAIT)["status"] == "lost"


class TestLists:
    def test_filters(self, store: Store) -> None:
        """Each filter leaves what it says, newest first."""
        old = version("a", created_at=now() - DAY, kind="numpy", type="numpy.ndarray", user="ada")
        new, other = version("a", version="x", role="model"), version("b::c", digest="d")
        record = made(store, old, new)
        made(store, other, record=run(pipeline="other"))
        tag(store, old, "prod", "best")
        tag(store, new, "prod")
        yesterday = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        for request, expected in (
            ({}, [other, new, old]),
            ({"artifact": "a"}, [new, old]),
            ({"like": "b*"}, [other]),
            ({"artifact": "b*"}, []),
            ({"artifact": "a", "latest": "true"}, [new]),
            ({"latest": True}, [other, new]),
            ({"version": "x"}, [new]),
            ({"run_id": record.run_id}, [new, old]),
            ({"pipeline": "other"}, [other]),
            ({"kind": "numpy"}, [old]),
            ({"type": "ndarray"}, [old]),
            ({"type": "numpy.ndarray"}, [old]),
            ({"type": "array"}, []),
            ({"role": "model"}, [new]),
            ({"digest": "d"}, [other]),
            ({"user": "ada"}, [old]),
            ({"tag": "prod"}, [new, old]),
            ({"tag": "prod, best"}, [old]),
            ({"since": yesterday}, [other, new]),
            ({"until": yesterday}, [old]),
            ({"status": "lost"}, []),
            ({"text": "NDARRAY"}, [old]),
        ):
            found = ids(store.read("list_versions", **request))
            assert found == [one.id for one in expected], request

    def test_pages(self, store: Store) -> None:
        """Pages follow each other without a gap, also where times are the same."""
        time = now()
        versions = [version(created_at=time) for _ in range(7)]
        made(store, *versions)
        seen: list[str] = []
        while page := ids(
            store.read("list_versions", limit=3, **({"before": seen[-1]} if seen else {}))
        ):
            seen += page
        assert sorted(seen) == sorted(one.id for one in versions)
        assert len(seen) == 7

    def test_wrong_filters(self, store: Store) -> None:
        """They are refused and say what there is."""
        for request in ({"nothing": 1}, {"limit": 0}, {"limit": "many"}, {"since": "soon"}):
            assert isinstance(error(store.read("list_versions", **request)), QueryError)
        assert isinstance(error(store.read("list_versions", before="x")), NotFound)

    def test_artifacts(self, store: Store) -> None:
        """One line for each name: how many versions, their bytes, and the newest."""
        versions = [version("a"), version("b", size=7), version("a", kind="text")]
        made(store, *versions)
        tag(store, versions[1], "prod")
        found = store.read("list_artifacts").result(WAIT)
        brief = [(e["artifact"], e["versions"], e["size"], e["number"], e["kind"]) for e in found]
        assert brief == [("a", 2, 200, 2, "text"), ("b", 1, 7, 1, "json")]
        assert found[0]["id"] == versions[2].id
        for request, expected in (
            ({"text": "B"}, ["b"]),
            ({"tag": "prod"}, ["b"]),
            ({"pipeline": "none"}, []),
            ({"limit": 1, "offset": 1}, ["b"]),
        ):
            names = [e["artifact"] for e in store.read("list_artifacts", **request).result(WAIT)]
            assert names == expected

    def test_a_run_names_its_versions(self, store: Store) -> None:
        """The outputs of a run say which version they are."""
        one = version(version="x")
        record = made(store, one)
        (found,) = store.get_run(record.run_id).result(WAIT)["artifacts"]
        shown = [found[name] for name in ("version_id", "artifact", "number", "version", "status")]
        assert shown == [one.id, "churn-model", 1, "x", "stored"]

    def test_as_sql(self, store: Store) -> None:
        """The view has kept and described outputs, and what was saved beside them, once each."""
        kept = version(facts={"shape": [2, 3], "columns": ["a", "b"]})
        loose = version("loose", facts={"shape": "odd", "preview": "p"})
        record = made(store, kept)
        described = ArtifactRecord("train", "other", "json", "int", 8, value=raw(1))
        store.append(DetailEntry(record.run_id, raw(RunDetail(artifacts=[described]))))
        store.change("put_version", record=text(loose)).result(WAIT)
        rows = store.sql(
            "SELECT name, artifact, number, status, shape, column_names, preview, size "
            "FROM artifacts ORDER BY name"
        ).result(WAIT)
        assert rows.rows == [
            ["loose", "loose", 1, "stored", None, None, "p", 100],
            ["other", None, None, None, None, None, None, 8],
            ["output", "churn-model", 1, "stored", [2, 3], ["a", "b"], None, 100],
        ]


class TestDeleting:
    def test_a_version_goes_with_what_is_said_of_it(self, store: Store) -> None:
        """Nothing of it is left but its number, which no other version ever gets."""
        one, two = version(), version()
        made(store, one, two)
        tag(store, two, "prod")
        assert store.change("delete_versions", ids=[two.id]).result(WAIT) == {
            "versions": 1, "bytes": 100,
        }  # fmt: skip
        assert isinstance(error(store.read("find_version", name=two.id)), NotFound)
        assert store.read("find_version", name="churn-model").result(WAIT)["id"] == one.id
        assert ids(store.read("list_versions", tag="prod")) == []
        assert store.change("delete_versions", ids=[two.id]).result(WAIT)["versions"] == 0
        three = version()
        made(store, three)
        assert store.read("find_version", name=three.id).result(WAIT)["number"] == 3

    def test_it_does_not_come_back(self, store: Store) -> None:
        """A record that comes late does not bring a deleted version back."""
        one = version()
        record = made(store, one)
        store.change("delete_versions", ids=[one.id]).result(WAIT)
        made(store, one, record=record)
        assert isinstance(error(store.read("find_version", name=one.id)), NotFound)
        assert store.read("list_artifacts").result(WAIT) == []

    def test_what_is_in_use_stays(self, store: Store) -> None:
        """A run's input, an output taken from the cache, a snapshot's setting, the tag keep: each
        is named, and all of a request stays with the one that does."""
        used, cached, held, tagged, free = [version(f"v{number}") for number in range(5)]
        made(store, used, cached, held, tagged, free)
        user = use(store, used)
        again = run()
        taken = ArtifactRecord("train", "output", "json", "dict", version=cached.id)
        store.append(entry(again, RunDetail(artifacts=[taken])))
        settings = raw({"model": {"version": held.id}})
        store.add_snapshot(snapshot("s", settings=settings)).result(WAIT)
        tag(store, tagged, "keep")
        for one, said in (
            (used, f"run {user.run_id} uses it (model)"),
            (cached, f"run {again.run_id} uses it (output of train)"),
            (held, "snapshot churn@1 holds it"),
            (tagged, "tagged 'keep'"),
        ):
            raised = error(store.change("delete_versions", ids=[free.id, one.id]))
            assert isinstance(raised, Conflict)
            assert said in str(raised)
            assert len(store.read("find_version", name=one.id).result(WAIT)["kept_by"]) == 1
        assert store.change("delete_versions", ids=[free.id]).result(WAIT)["versions"] == 1

    def test_a_model_keeps_its_artifacts(self, store: Store) -> None:
        """Those that are linked to a version of it, and those that a run made for it."""
        linked, of_run = version("linked"), version("of-run")
        made(store, linked)
        record = made(store, of_run)
        model = store.change(
            "make_model_version", model="churn", id=new_id(), version="v1"
        ).result(WAIT)  # fmt: skip
        for kind, subject in (("artifact_version", linked.id), ("run", record.run_id)):
            store.change("link_model", id=model["id"], kind=kind, subject=subject).result(WAIT)
        for one in (linked, of_run):
            raised = error(store.change("delete_versions", ids=[one.id]))
            assert "version v1 of model 'churn'" in str(raised)
        store.prune(max_age_days=0).result(WAIT)
        assert len(ids(store.read("list_versions"))) == 2

    def test_what_is_being_written_stays(self, store: Store) -> None:
        """Else its record would come after it is gone."""
        half = version(status="pending")
        made(store, half)
        assert "being written" in str(error(store.change("delete_versions", ids=[half.id])))

    def test_pruning(self, store: Store) -> None:
        """By age, by count and by bytes; a dry run says the same and deletes nothing."""
        versions = [version(created_at=now() - (9 - n) * DAY) for n in range(10)]
        made(store, *versions)
        use(store, versions[0])
        for request, gone in (({"days": 5.5}, 3), ({"keep": 4}, 5), ({"bytes": 250}, 7), ({}, 9)):
            said = store.change("prune_versions", dry_run=True, **request).result(WAIT)
            assert (said["versions"], said["kept"], said["bytes"]) == (gone, 1, gone * 100)
        assert len(ids(store.read("list_versions"))) == 10
        said = store.change("prune_versions", keep=4).result(WAIT)
        assert (said["versions"], said["dry_run"], len(said["names"])) == (5, False, 5)
        assert store.change("prune_versions", artifact="o*").result(WAIT)["versions"] == 0
        left = ids(store.read("list_versions"))
        assert left == [one.id for one in (*reversed(versions[6:]), versions[0])]


class TestRetention:
    def test_versions_go_with_their_run(self, store: Store) -> None:
        """Unless another run uses them, which stays; then they go with that one."""
        free, used = version("free"), version("used")
        made(store, free, used, record=run(created_at=now() - 10 * DAY))
        use(store, used, run(created_at=now() - 2 * DAY))
        assert store.prune(max_age_days=5).result(WAIT)["versions"] == 1
        assert ids(store.read("list_versions")) == [used.id]
        store.prune(max_age_days=1).result(WAIT)
        assert store.change("prune_versions").result(WAIT)["versions"] == 1

    def test_their_files_stay_as_long_as_they(self, store: Store) -> None:
        """A blob that two versions share goes with the second one."""
        shared, other = blob(store, BLOBS[0]), blob(store, BLOBS[1])
        one = version(value=None, files=[FileRecord("a", BLOBS[0], 1000)])
        two = version(
            value=None, files=[FileRecord(n, b, 1000) for n, b in zip("ab", BLOBS[:2], strict=True)]
        )
        made(store, one, two)
        store.prune().result(WAIT)
        assert (shared.exists(), other.exists()) == (True, True)
        store.change("delete_versions", ids=[two.id]).result(WAIT)
        assert store.prune().result(WAIT)["blobs"] == 1
        assert (shared.exists(), other.exists()) == (True, False)
        store.change("delete_versions", ids=[one.id]).result(WAIT)
        store.prune().result(WAIT)
        assert not shared.exists()

    def test_they_count(self, store: Store) -> None:
        """The bytes of what a run keeps are the run's."""
        records = []
        for age in (3, 2, 1):
            one = version(size=10_000)
            records.append(made(store, one, record=run(created_at=now() - age * DAY)))
        usage = store.usage().result(WAIT)
        assert (usage["artifacts"], usage["artifact_bytes"]) == (3, 30_000)
        gone = store.prune(max_bytes=25_000).result(WAIT)
        assert (gone["runs"], gone["versions"]) == (1, 1)
        left = [found["run_id"] for found in store.list_runs().result(WAIT)]
        assert left == [records[2].run_id, records[1].run_id]
