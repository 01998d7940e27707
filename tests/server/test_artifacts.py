"""Artifact versions over HTTP, with the client and on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy
import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell.artifacts.version import ArtifactVersion
from warmcell.cli import main
from warmcell.client import Client
from warmcell.errors import ArtifactError, Conflict, NotFound, NotTrusted, QueryError, UsageError
from warmcell.ids import new_id, now

SAVE = """
import json, pathlib
import msgspec, numpy
from warmcell import Client, step, pipeline
from warmcell.artifacts.storing import store
from warmcell.ids import new_id, now
from warmcell.link import kernel
from warmcell.records import VersionRecord

def save(artifact, value, **more):
    kept = store(value, pathlib.Path(kernel().link().status.blobs))
    record = VersionRecord(
        new_id(), artifact, kept.kind, kept.type, "stored", now(), role=kept.role, size=kept.size,
        digest=kept.digest, value=kept.value, files=kept.files, facts=kept.facts, about=kept.about,
        **more,
    )
    body = json.loads(msgspec.json.encode(record))
    return Client()._call("POST", "api/v1/artifact-versions", body)

class Odd:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return self.n == other.n
"""
API = "warmcell/api/v1/"
Save = Callable[..., str]


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer, kernel: Kernel) -> Kernel:
    kernel.run(SAVE)
    return kernel


@pytest.fixture(scope="module")
def save(author: Kernel) -> Save:
    """Save the value of an expression from the kernel, and return the id of the version."""

    def saved(artifact: str, value: str, **more: Any) -> str:
        given = "".join(f", {name}={thing!r}" for name, thing in more.items())
        shown = author.run(f"print(save({artifact!r}, {value}{given})['id'])")
        return shown.stdout.strip()

    return saved


@pytest.fixture(scope="module")
def client(jupyter_server: JupyterServer, author: Kernel) -> Client:
    """A client outside of any kernel."""
    return Client(jupyter_server.url, jupyter_server.token)


def post(server: JupyterServer, **changes: Any) -> Any:
    """Send the record of a version as it is."""
    record = {
        "id": new_id(), "artifact": "sent", "kind": "json", "type": "builtins.int",
        "status": "stored", "created_at": now(), "value": 1, "digest": "d",
    }  # fmt: skip
    return server.post(f"{API}artifact-versions", record | changes)


class TestClient:
    def test_from_a_kernel(self, author: Kernel, save: Save) -> None:
        """What one cell saved, another one finds and loads."""
        save("numbers", "{'a': [1, 2.5, None]}")
        save("numbers", "numpy.arange(10_000.0)", version="big")
        shown = author.run(
            "found = Client().get_artifact_version('numbers', 'big')\n"
            "print(found.number, found.version, found.load().sum(), "
            "Client().get_artifact_version('numbers', 1).load())"
        )
        assert shown.stdout == "2 big 49995000.0 {'a': [1, 2.5, None]}\n"

    def test_from_elsewhere(self, client: Client, save: Save) -> None:
        """A client reads the store in place where it is on its machine, and else fetches."""
        identifier = save("array", "numpy.arange(5000.0)")
        expected = numpy.arange(5000.0)
        assert numpy.array_equal(client.get_artifact_version(identifier).load(), expected)
        far = Client(client.url, "test-token")
        vars(far._transport)["_blobs_here"] = Path("/nowhere")  # as on another machine
        found = far.get_artifact_version("array")
        assert numpy.array_equal(found.load(), expected)
        (path,) = found.fetch().values()
        assert "blobs" not in path.parts
        assert path.stat().st_size == found.to_json()["files"][0]["size"]

    def test_lists(self, client: Client, save: Save) -> None:
        """Versions come newest first, by filter and page, and show themselves as a table."""
        ids = [save("listed", f"{number}", tags=["odd"] * (number % 2)) for number in range(5)]
        found = client.list_artifact_versions("listed")
        assert [version.id for version in found] == ids[::-1]
        page = client.list_artifact_versions("listed", limit=2, before=found[1].id)
        assert [version.id for version in page] == [ids[2], ids[1]]
        tagged = client.list_artifact_versions(like="list*", tag=["odd"])
        assert [version.id for version in tagged] == [ids[3], ids[1]]
        assert client.get_artifact_version("listed", tag="odd").id == ids[3]
        assert client.list_artifact_versions(latest=True)[0].id == ids[4]
        (artifact,) = client.list_artifacts("listed")
        assert (artifact["versions"], artifact["number"]) == (5, 5)
        assert "odd" in repr(found)
        assert found._repr_html_().count("<tr>") == 6
        with pytest.raises(UsageError, match="run_id"):
            client.list_artifact_versions(run="x")
        with pytest.raises(QueryError, match="no time"):
            client.list_artifact_versions(since="soon")

    def test_what_it_says(self, client: Client, save: Save) -> None:
        """A version knows what it is, and asks for the rest when that is wanted."""
        identifier = save("described", "numpy.zeros((20, 300))")
        (found,) = client.list_artifact_versions("described")
        assert isinstance(found, ArtifactVersion)
        assert (found.id, found.name, found.version, found.kind) == (
            identifier, "described", "1", "numpy",
        )  # fmt: skip
        assert found.facts["shape"] == [20, 300]
        assert (found.run_metadata["shape"], found.kept_by) == ((20, 300), [])
        assert found.content_hash == found.digest
        assert found.size is not None
        assert found.size >= 48_000
        assert found == client.get_artifact_version(identifier)

    @pytest.mark.parametrize(
        "name", ["a::b::output", "a/b", "100 % – ü", "a?b=c&d#e", "a%2Fb", "latest"]
    )
    def test_any_name(self, client: Client, save: Save, name: str) -> None:
        """An artifact may be called whatever its author likes."""
        identifier = save(name, "1")
        assert client.get_artifact_version(name).id == identifier
        assert client.get_artifact_version(name, "1").load() == 1
        assert [one.id for one in client.list_artifact_versions(name)] == [identifier]
        assert client.delete_artifact(name) == 1

    def test_what_there_is_not(self, client: Client, save: Save) -> None:
        """The error says what there is."""
        save("there", "1")
        with pytest.raises(NotFound, match="Its newest versions: 1"):
            client.get_artifact_version("there", "production")
        with pytest.raises(NotFound, match="'there'"):
            client.get_artifact_version("ther")
        for missing in (client.delete_artifact, client.delete_artifact_version):
            with pytest.raises(NotFound):
                missing("nothing")


class TestRuns:
    def test_what_a_run_makes(self, author: Kernel, client: Client) -> None:
        """Each output of a batch run is a version, by its default name or its own, in the run, in
        SQL and in the list; a version says which run and step made it."""
        author.run(
            "from typing import Annotated\n"
            "@step\ndef draw(n: int) -> Annotated[numpy.ndarray, 'drawn']:\n"
            "    return numpy.arange(n * 1.0)\n"
            "@step\ndef total(drawn: numpy.ndarray) -> float:\n    return float(drawn.sum())\n"
            "@pipeline\ndef adding(n: int) -> float:\n    return total(draw(n))"
        )
        run_id = author.value("adding(5000).id")
        # Its end reaches the server after the cell's, on another way.
        wait_until(lambda: client.list_runs(pipeline="adding", status="succeeded"))
        run = client.get_run(run_id)
        drawn = client.get_artifact_version("drawn")
        added = client.get_artifact_version("adding::total::output")
        assert (drawn.load().sum(), added.load()) == (12_497_500.0, 12_497_500.0)
        assert (drawn.step, drawn.pipeline) == ("draw", "adding")
        assert (drawn.run_id, added.run_id) == (run_id, run_id)
        versions = {one["step"]: one["version_id"] for one in run.artifacts}
        assert versions == {"draw": drawn.id, "total": added.id}, run.to_json()
        rows = client.sql(
            "SELECT artifact, number, status FROM artifacts "
            f"WHERE run_id = '{drawn.run_id}' ORDER BY artifact"
        ).rows
        assert rows == [["adding::total::output", 1, "stored"], ["drawn", 1, "stored"]]


class TestTrust:
    @pytest.fixture
    def stranger(self, jupyter_server: JupyterServer, save: Save) -> Iterator[str]:
        """A pickle, for a user whose key is another one than that which signed it."""
        identifier = save("odd", "Odd(7)")
        file = Path(jupyter_server.environment["JUPYTER_DATA_DIR"]) / "warmcell" / "snapshot.key"
        own = file.read_bytes()
        file.write_bytes(os.urandom(32))
        yield identifier
        file.write_bytes(own)

    def test_a_foreign_pickle_is_not_loaded(self, author: Kernel, stranger: str) -> None:
        """Until its user says so; from then on it is, for both."""
        load = f"Client().get_artifact_version({stranger!r}).load() == Odd(7)"
        refused = author.run(load, check=False)
        assert refused.ename == NotTrusted.__name__
        author.run(f"Client().get_artifact_version({stranger!r}).trust()")
        assert author.run(load).text == "True"

    def test_a_flipped_byte_is_refused(self, jupyter_server: JupyterServer, save: Save) -> None:
        """Before anything is made of it."""
        client = Client(jupyter_server.url, jupyter_server.token)
        identifier = save("flipped", "numpy.arange(4000.0) + 0.5")
        found = client.get_artifact_version(identifier)
        (path,) = found.fetch().values()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="damaged"):
            found.load()


class TestHttp:
    def test_files(self, jupyter_server: JupyterServer, save: Save) -> None:
        """A file is an attachment, byte by byte what is in the blob; HEAD says how much that is."""
        identifier = save("filed", "numpy.arange(3000.0)")
        version = jupyter_server.get(f"{API}artifact-versions/{identifier}").json()
        (file,) = version["files"]
        path = f"{API}artifact-versions/{identifier}/files/{quote(file['name'])}"
        answer = jupyter_server.get(path)
        home = Path(jupyter_server.get(f"{API}status").json()["home"])
        assert answer.body == (home / "blobs" / file["blob"]).read_bytes()
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
        head = jupyter_server.request("HEAD", path)
        assert (head.status, head.headers["content-length"]) == (200, str(file["size"]))
        missing = jupyter_server.get(f"{API}artifact-versions/{identifier}/files/nothing")
        assert (missing.status, file["name"] in missing.json()["hint"]) == (404, True)

    def test_a_file_in_a_folder(self, jupyter_server: JupyterServer) -> None:
        """Names of files may have slashes and other characters."""
        home = Path(jupyter_server.get(f"{API}status").json()["home"])
        blob = "ab" * 16
        (home / "blobs" / blob).write_bytes(b"hello")
        name = "a/b c%20ü.txt"
        files = [{"name": name, "blob": blob, "size": 5}]
        sent = post(jupyter_server, artifact="folder", files=files, value=None)
        assert sent.status == 201
        path = f"{API}artifact-versions/{sent.json()['id']}/files/{quote(name)}"
        assert jupyter_server.get(path).body == b"hello"

    @pytest.mark.parametrize(
        ("changes", "status", "said"),
        [
            ({"status": "pending"}, 422, "whole"),
            ({"artifact": " "}, 422, "name"),
            ({"value": "x" * 17_000}, 422, "as JSON"),
            ({"created_at": "now"}, 422, "created_at"),
            ({"files": [{"name": "a", "blob": "0" * 32, "size": 1}]}, 409, "not among"),
            ({"files": [{"name": "a", "blob": "../owner.lock", "size": 0}]}, 409, "not among"),
            ({"version": "twice"}, 409, "already"),
        ],
    )
    def test_what_cannot_be_saved(
        self, jupyter_server: JupyterServer, changes: dict[str, Any], status: int, said: str
    ) -> None:
        """What nobody could ever load is refused when it is sent."""
        post(jupyter_server, artifact="sent", version="twice")
        answer = post(jupyter_server, **changes)
        assert (answer.status, said in answer.text) == (status, True), answer.text

    def test_pages_and_wrong_queries(self, jupyter_server: JupyterServer, save: Save) -> None:
        """A page names the next one; what is no filter is named."""
        for number in range(3):
            save("paged", str(number))
        page = f"{API}artifact-versions?artifact=paged&limit=2"
        first = jupyter_server.get(page).json()
        second = jupyter_server.get(f"{page}&before={first['next']}").json()
        assert [one["number"] for one in first["versions"] + second["versions"]] == [3, 2, 1]
        assert second["next"] is None
        for query in ("limit=x", "nothing=1", "since=soon"):
            answer = jupyter_server.get(f"{API}artifact-versions?{query}")
            assert answer.status == 422, query
        assert jupyter_server.get(f"{API}artifact-versions?before=x").status == 404
        for nameless in ("GET", f"{API}artifact-versions/find"), ("DELETE", f"{API}artifacts"):
            assert jupyter_server.request(*nameless).status == 422
        answer = jupyter_server.post(f"{API}artifact-versions/prune", {"days": -1})
        assert answer.status == 422

    def test_deleting(self, jupyter_server: JupyterServer, client: Client, save: Save) -> None:
        """What is tagged keep stays, with the reason; the rest goes, and the audit has who."""
        kept, gone = save("deleted", "1", tags=["keep"]), save("deleted", "2")
        refused = jupyter_server.delete(f"{API}artifact-versions/{kept}")
        assert (refused.status, "tagged 'keep'" in refused.json()["detail"]) == (409, True)
        with pytest.raises(Conflict, match="Version 1 of"):
            client.delete_artifact("deleted")
        assert client.get_artifact_version(kept).kept_by[0]["kind"] == "tag"
        client.delete_artifact_version("deleted", 2)
        assert jupyter_server.get(f"{API}artifact-versions/{gone}").status == 404
        query = "SELECT subject, \"user\" FROM audit WHERE event = 'artifact.deleted'"
        assert ["deleted@2", "token"] in client.sql(query).rows

    def test_pruning(self, client: Client, save: Save) -> None:
        """A dry run says what would go; then it goes."""
        for number in range(4):
            save("pruned", str(number))
        for dry_run, left in ((True, 4), (False, 1)):
            said = client.prune_artifacts(keep=1, artifact="pruned", dry_run=dry_run)
            assert said["names"] == ["pruned@3", "pruned@2", "pruned@1"]
            assert len(client.list_artifact_versions("pruned")) == left


class TestCommands:
    @pytest.fixture
    def run(
        self, jupyter_server: JupyterServer, capsys: pytest.CaptureFixture[str]
    ) -> Callable[..., tuple[int, str, str]]:
        """Run a command; returns its code, what it printed and what it said beside that."""

        def ran(*words: str) -> tuple[int, str, str]:
            where = ("--url", jupyter_server.url, "--token", jupyter_server.token)
            code = main(["artifacts", *words, *where])
            out, err = capsys.readouterr()
            return code, out, err

        return ran

    def test_list_and_show(self, run: Any, save: Save) -> None:
        """Artifacts, the versions of one, and all about one of these."""
        save("shown", "{'n': 1}", tags=["keep"])
        identifier = save("shown", "numpy.zeros(2000)")
        assert "shown" in run("list")[1]
        code, out, _ = run("list", "shown")
        assert (code, len(out.splitlines())) == (0, 3)
        assert json.loads(run("list", "shown", "--json")[1])[0]["id"] == identifier
        code, out, _ = run("show", "shown@1")
        assert "tag keep" in out
        assert '{"n": 1}' in out
        assert json.loads(run("show", identifier, "--json")[1])["number"] == 2
        code, _, err = run("show", "shown@9")
        assert (code, "Its newest versions: 2, 1" in err) == (3, True)

    def test_load(self, run: Any, save: Save, tmp_path: Path) -> None:
        """Files are written as they are, and small values printed."""
        save("loaded", "numpy.arange(2000.0)")
        code, out, _ = run("load", "loaded", str(tmp_path))
        assert code == 0
        assert numpy.load(out.strip()).sum() == 1_999_000
        code, _, err = run("load", "loaded", str(tmp_path))
        assert (code, "--overwrite" in err) == (2, True)
        assert run("load", "loaded", str(tmp_path), "--overwrite")[0] == 0
        save("loaded", "{'n': 1}")
        assert json.loads(run("load", "loaded")[1]) == {"n": 1}
        assert run("load", "loaded", str(tmp_path))[0] == 2

    def test_delete_and_prune(self, run: Any, save: Save, client: Client) -> None:
        """What something keeps stays, and is said."""
        for number in range(4):
            save("cut", str(number), tags=["keep"] * (number == 0))
        code, _, err = run("delete", "cut@1")
        assert (code, "tagged 'keep'" in err) == (1, True)
        assert run("delete", "cut@2")[0] == 0
        assert run("prune", "cut")[0] == 2
        code, out, err = run("prune", "cut", "--keep", "1", "--dry-run")
        assert (code, out) == (0, "cut@3\n")
        assert "would go" in err
        assert "1 more stay" in err
        assert json.loads(run("prune", "cut", "--unused", "--json")[1])["versions"] == 2
        assert [one.number for one in client.list_artifact_versions("cut")] == [1]
