"""Models: their versions, stages and aliases, and what belongs to a version."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from warmcell.errors import UsageError
from warmcell.ids import new_id, now
from warmcell.tags import check_name
from warmcell_server.auditing import who
from warmcell_server.operation import Call, Result, Routes, decode, number

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()

Text = Annotated[str, msgspec.Meta(max_length=50_000)]
Label = Annotated[str, msgspec.Meta(max_length=255)]
Tags = Annotated[list[Label], msgspec.Meta(max_length=100)]


class About(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a model or a version says of itself."""

    description: Text | None = None
    license: Text | None = None
    audience: Text | None = None
    use_cases: Text | None = None
    limitations: Text | None = None
    trade_offs: Text | None = None
    ethics: Text | None = None
    save_models_to_registry: bool | None = None


class Described(msgspec.Struct, forbid_unknown_fields=True):
    about: About = About()
    tags: Tags = []

    def __post_init__(self) -> None:
        for tag in self.tags:
            check_name(tag)


class NewModel(Described, forbid_unknown_fields=True, kw_only=True):
    name: str


class NewVersion(Described, forbid_unknown_fields=True, kw_only=True):
    """``id`` is a UUIDv7 of whoever asks, so that asking twice makes one."""

    id: str | None = None
    version: Label | None = None
    run_id: str | None = None
    new: bool = False
    model_about: About = About()
    model_tags: Tags = []


class Move(msgspec.Struct, forbid_unknown_fields=True):
    revision: int | None = None
    reason: Text | None = None


class MoveAlias(Move, forbid_unknown_fields=True, kw_only=True):
    version: str | None  # an id; null for nowhere


class SetStage(Move, forbid_unknown_fields=True, kw_only=True):
    stage: str
    force: bool = False


class Link(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    subject: str
    role: str = "data"

    def __post_init__(self) -> None:
        if self.kind not in ("artifact_version", "run", "step", "deployment"):
            raise ValueError("'kind' is artifact_version, run, step or deployment")
        if self.role not in ("data", "model", "deployment"):
            raise ValueError("'role' is data, model or deployment")


@ROUTES.add("GET", "api/v1/models")
async def _models(host: Host, call: Call) -> Result:
    """All models."""
    return 200, {"models": await _read(host, "models", tag=call.query.get("tag"))}


@ROUTES.add("POST", "api/v1/models", NewModel)
async def _create(host: Host, call: Call) -> Result:
    """Make a model. 409 for a name that is taken."""
    body = decode(call, NewModel)
    _check(body.name, "model")
    return 201, await _change(
        host, call, "put_model", name=body.name, about=_plain(body.about), tags=body.tags, new=True,
        time=now(),
    )  # fmt: skip


@ROUTES.add("GET", "api/v1/models/*")
async def _model(host: Host, call: Call) -> Result:
    """One model, with its aliases."""
    return 200, await _read(host, "model", name=call.arguments[0])


@ROUTES.add("PATCH", "api/v1/models/*", Described)
async def _update(host: Host, call: Call) -> Result:
    """Change what a model says of itself, and its tags."""
    body = decode(call, Described)
    return 200, await _change(
        host, call, "put_model", name=call.arguments[0], about=_plain(body.about), tags=body.tags,
        update=True,
    )  # fmt: skip


@ROUTES.add("DELETE", "api/v1/models/*")
async def _delete(host: Host, call: Call) -> Result:
    """Delete a model with all its versions; those in use need ``force``."""
    name = (await _read(host, "model", name=call.arguments[0]))["name"]
    force = call.query.get("force", "").lower() in ("1", "true")
    return 200, await _change(host, call, "delete_model", name=name, force=force)


@ROUTES.add("GET", "api/v1/models/*/versions")
async def _versions(host: Host, call: Call) -> Result:
    """Newest first; ``stage``, ``tag``, ``run_id``, ``before`` (a number) and ``limit``."""
    query = call.query
    filters = {name: query[name] for name in ("stage", "tag", "run_id") if query.get(name)}
    before = {"before": int(number(call, "before", 0))} if "before" in query else {}
    limit = int(min(max(number(call, "limit", 100), 1), 1000))
    found = await _read(
        host, "model_versions", model=call.arguments[0], limit=limit, **filters, **before
    )
    return 200, {"versions": found}


@ROUTES.add("POST", "api/v1/models/*/versions", NewVersion)
async def _make(host: Host, call: Call) -> Result:
    """A new version, and its model where there is none; 200 for a label that is there already."""
    body = decode(call, NewVersion)
    _check(call.arguments[0], "model")
    if body.version is not None:
        _check(body.version, "version of a model")
    made = await _change(
        host, call, "make_model_version", model=call.arguments[0], id=body.id or new_id(),
        version=body.version, run_id=body.run_id, new=body.new, tags=body.tags,
        about=_plain(body.about), model_about=_plain(body.model_about), model_tags=body.model_tags,
        time=now(),
    )  # fmt: skip
    return (201 if made["created"] else 200), made


@ROUTES.add("GET", "api/v1/models/*/versions/*")
async def _version(host: Host, call: Call) -> Result:
    """``latest``, a number, a label, a stage or another alias."""
    model, version = call.arguments
    return 200, await _read(host, "model_version", model=model, version=version)


@ROUTES.add("GET", "api/v1/models/*/aliases/*")
async def _alias(host: Host, call: Call) -> Result:
    """Where an alias or a stage is, and since when."""
    model = (await _read(host, "model", name=call.arguments[0]))["name"]
    return 200, await _read(host, "alias", model=model, alias=call.arguments[1])


@ROUTES.add("PUT", "api/v1/models/*/aliases/*", MoveAlias)
async def _move(host: Host, call: Call) -> Result:
    """Move an alias. 409 if ``revision`` is not that of the last move."""
    body = decode(call, MoveAlias)
    model, alias = call.arguments
    moved = await _change(
        host, call, "move_alias", model=model, alias=alias, version=body.version,
        reason=body.reason, **_revision(body),
    )  # fmt: skip
    host.followers.wake()
    return 200, moved


@ROUTES.add("POST", "api/v1/models/*/aliases/*/back", Move)
async def _back(host: Host, call: Call) -> Result:
    """Move an alias back to where it was before."""
    body = decode(call, Move)
    model = (await _read(host, "model", name=call.arguments[0]))["name"]
    alias = call.arguments[1]
    if body.revision is None:  # bound to what is there, so that a repetition does not undo it
        body.revision = (await _read(host, "alias", model=model, alias=alias))["revision"]
    moved = await _change(
        host, call, "move_back", model=model, alias=alias, reason=body.reason, **_revision(body)
    )
    host.followers.wake()
    return 200, moved


@ROUTES.add("GET", "api/v1/models/*/moves")
async def _moves(host: Host, call: Call) -> Result:
    """Who moved which alias when, newest first; of one ``alias`` or of all."""
    model = (await _read(host, "model", name=call.arguments[0]))["name"]
    found = await _read(host, "alias_moves", model=model, alias=call.query.get("alias"))
    return 200, {"moves": found}


@ROUTES.add("GET", "api/v1/model-versions/*")
async def _by_id(host: Host, call: Call) -> Result:
    """One version of a model by its id."""
    return 200, await _read(host, "model_version", id=call.arguments[0])


@ROUTES.add("PATCH", "api/v1/model-versions/*", Described)
async def _update_version(host: Host, call: Call) -> Result:
    """Change what a version says of itself, and its tags."""
    body = decode(call, Described)
    return 200, await _change(
        host, call, "update_model_version", id=call.arguments[0], about=_plain(body.about),
        tags=body.tags,
    )  # fmt: skip


@ROUTES.add("DELETE", "api/v1/model-versions/*")
async def _delete_version(host: Host, call: Call) -> Result:
    """Delete a version of a model."""
    version = (await _read(host, "model_version", id=call.arguments[0]))["id"]
    return 200, await _change(host, call, "delete_model_version", id=version)


@ROUTES.add("POST", "api/v1/model-versions/*/stage", SetStage)
async def _stage(host: Host, call: Call) -> Result:
    """Move a stage to a version; from another one only with ``force``."""
    body = decode(call, SetStage)
    version = await _read(host, "model_version", id=call.arguments[0])
    moved = await _change(
        host, call, "set_stage", model=version["model"], version=version["id"], stage=body.stage,
        force=body.force, reason=body.reason, **_revision(body),
    )  # fmt: skip
    host.followers.wake()
    return 200, moved


@ROUTES.add("GET", "api/v1/model-versions/*/artifacts")
async def _artifacts(host: Host, call: Call) -> Result:
    """What belongs to it, newest first; of a ``role``, ``name`` or ``version``."""
    version = (await _read(host, "model_version", id=call.arguments[0]))["id"]
    filters = {name: call.query.get(name) for name in ("role", "name", "version")}
    return 200, {"artifacts": await _read(host, "model_artifacts", id=version, **filters)}


@ROUTES.add("GET", "api/v1/model-versions/*/links")
async def _links(host: Host, call: Call) -> Result:
    """What is linked to a version."""
    version = (await _read(host, "model_version", id=call.arguments[0]))["id"]
    found = await _read(host, "model_links", id=version, kind=call.query.get("kind"))
    return 200, {"links": found}


@ROUTES.add("POST", "api/v1/model-versions/*/links", Link)
async def _link(host: Host, call: Call) -> Result:
    """Link an artifact version, a run, a step or a deployment to a version."""
    body = decode(call, Link)
    return 201, await _change(
        host, call, "link_model", id=call.arguments[0], kind=body.kind, subject=body.subject,
        role=body.role,
    )  # fmt: skip


async def _read(host: Host, name: str, /, **request: Any) -> Any:
    return await asyncio.wrap_future(host.store.read(name, **request))


async def _change(host: Host, call: Call, name: str, /, **request: Any) -> Any:
    return await asyncio.wrap_future(host.store.change(name, user=who(call), **request))


def _revision(body: Move) -> dict[str, int]:
    return {} if body.revision is None else {"revision": body.revision}


def _plain(about: About) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(about)
    return found


def _check(name: str, of: str) -> None:
    if not name.strip() or len(name) > 255 or not name.isprintable():
        raise UsageError(
            f"A {of} cannot be called {name[:50]!r}.",
            hint="It has 1 to 255 characters that can be printed.",
        )
