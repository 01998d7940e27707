"""Every message on the link, typed.

A frame is a four-byte big-endian length and that many bytes of MessagePack, one tagged
:class:`msgspec.Struct`. JSON travels inside as bytes and is decoded by whoever needs its inside:
the parameters of a call by the worker, the detail of a run by the store.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from warmcell.records import ErrorInfo, Status

PROTOCOL = 1
MAX_FRAME = 1 << 30
LENGTH = 4


class Hello(msgspec.Struct, tag="hello"):
    """First message of a worker: who it is. ``secret`` proves it on a TCP link."""

    protocol: int
    kernel_id: str
    pid: int
    python: str
    notebook: str | None = None
    secret: str | None = None


class Welcome(msgspec.Struct, tag="welcome"):
    """The host's answer to :class:`Hello`. ``url`` ends in ``/warmcell/``."""

    protocol: int
    host_id: str
    mode: str  # "server" | "embedded"
    url: str
    base_path: str  # path of ``url``, for pages of the same origin
    home: str  # folder of the store
    blobs: str  # folder of the blobs
    pid: int


class Refused(msgspec.Struct, tag="refused"):
    """The host's answer to a :class:`Hello` that it does not accept."""

    reason: str


class Invoke(msgspec.Struct, tag="invoke", omit_defaults=True):
    """Execute a run of snapshot ``key``. ``parameters`` is the raw JSON object of the body.

    Where ``content_type`` is given, the body of the request is something else: ``parameters`` are
    its bytes, or ``file`` is where they are, and ``query`` has the other parameters as text.
    ``accept`` is what the caller takes where that is not JSON. With ``stream`` the worker sends
    :class:`Event` while it executes. A ``fleeting`` run may not be in the history later, so that
    its outputs cannot be fetched from there. ``headers`` are there for deployments with middleware.
    ``redact``, ``artifacts`` and ``enable_cache`` are the deployment's settings of these names.
    """

    call: int
    key: str
    run_id: str
    parameters: bytes
    timeout: float | None = None
    record: bool = True
    run_name: str | None = None
    deployment: str | None = None
    stream: bool = False
    content_type: str | None = None
    query: dict[str, str] | None = None
    file: str | None = None
    accept: str | None = None
    traceparent: str | None = None
    headers: dict[str, str] | None = None
    user: str | None = None
    fleeting: bool = False
    redact: tuple[str, ...] = ()
    artifacts: dict[str, str | float] | None = None
    enable_cache: bool = False


class Answer(msgspec.Struct, tag="answer", omit_defaults=True):
    """How a call ended. ``outputs``, ``parameters`` and ``detail`` are finished JSON.

    ``steps`` are the names of the steps and their durations in microseconds. ``body`` is what the
    caller gets instead of JSON, of ``content_type``. ``http_status`` and ``headers`` are set by
    middleware. ``recorded`` is the JSON for the history where that is not ``outputs``.
    """

    call: int
    status: str  # a terminal Status, or "invalid" when the parameters do not fit
    outputs: bytes | None = None
    parameters: bytes | None = None
    detail: bytes | None = None
    error: ErrorInfo | None = None
    errors: list[dict[str, str]] | None = None  # of "invalid": pointer, message, type
    started_at: int = 0
    finished_at: int = 0
    steps: list[tuple[str, int]] = []
    body: bytes | None = None
    content_type: str | None = None
    http_status: int = 0
    headers: dict[str, str] | None = None
    recorded: bytes | None = None


class Watch(msgspec.Struct, tag="watch"):
    """Send the events of a run that is executed now, from its beginning on."""

    run_id: str


class Event(msgspec.Struct, tag="event"):
    """Something that happened in a run. ``id`` grows within a run and is about its time in
    microseconds; ``kind`` is "step", "progress", "log" or "output"; ``data`` is a JSON object."""

    run_id: str
    id: int
    kind: str
    data: bytes


class EndpointCall(msgspec.Struct, tag="endpoint_call", omit_defaults=True):
    """A request for a custom endpoint of snapshot ``key``; answered by
    :class:`EndpointAnswer`. ``path`` has the values of the pattern's placeholders."""

    call: int
    key: str
    endpoint: int  # its place among the endpoints of the snapshot
    method: str
    url: str
    path: dict[str, str]
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    user: str | None = None


class EndpointAnswer(msgspec.Struct, tag="endpoint_answer", omit_defaults=True):
    """The answer of a custom endpoint, finished."""

    call: int
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = {}


def endpoint_call(call: int) -> str:
    """What :class:`Cancel` names a request for a custom endpoint by."""
    return f"endpoint-{call}"


class Cancel(msgspec.Struct, tag="cancel"):
    """Stop a run, or a request for a custom endpoint. ``reason`` is "cancelled" or "timed_out"."""

    run_id: str
    reason: Status = "cancelled"


class Ask(msgspec.Struct, tag="ask"):
    """What would deploying ``pipeline`` as ``deployment`` make now? Answered by :class:`Told`."""

    ask: int
    deployment: str
    pipeline: str


class Told(msgspec.Struct, tag="told", omit_defaults=True):
    """The answer to :class:`Ask`, JSON; a problem's ``detail`` and ``hint`` if that ``failed``."""

    ask: int
    body: bytes
    failed: bool = False


class Renew(msgspec.Struct, tag="renew"):
    """Hold the snapshot of binding ``key`` once more, for the model version with the id
    ``version``: ``on_init`` runs again. Answered by :class:`Told` with the new ``key``."""

    ask: int
    key: str
    version: str


class Drop(msgspec.Struct, tag="drop"):
    """Forget snapshot ``key``: run its ``on_cleanup`` once its calls have ended."""

    key: str


class Progress(msgspec.Struct, tag="progress", omit_defaults=True):
    """A run that the worker started itself: its state and new parts.

    ``run`` is the JSON of a :class:`~warmcell.records.RunRecord`, whose parameters and outputs are
    raw JSON. With ``ack`` the host answers :class:`Reply` once the spool has it.
    """

    run: bytes | None
    run_id: str
    detail: bytes | None = None
    ack: int | None = None


class Request(msgspec.Struct, tag="request", omit_defaults=True):
    """A call of the control plane, as over HTTP. ``path`` is relative to ``…/warmcell/``; names of
    ``headers`` are written as in ``Idempotency-Key``."""

    request: int
    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] | None = None


class Reply(msgspec.Struct, tag="reply", omit_defaults=True):
    """The answer to a :class:`Request`: an HTTP status and a JSON body."""

    request: int
    status: int
    body: bytes = b""


class Vitals(msgspec.Struct, tag="vitals"):
    """What a worker measures of itself. ``lag`` is how long a thread that wanted the GIL had to
    wait for it, the worst of the last second, in seconds; ``stuck`` counts threads past their
    deadline that have not returned; ``by_cell`` tells that a cell was what held the GIL."""

    lag: float
    rss: int
    stuck: int = 0
    by_cell: bool = False


ToHost: TypeAlias = Hello | Answer | Progress | Request | Vitals | Event | EndpointAnswer | Told
ToWorker: TypeAlias = (
    Welcome | Refused | Invoke | Cancel | Drop | Reply | Watch | EndpointCall | Ask | Renew
)

_encoder = msgspec.msgpack.Encoder()
_for_host: msgspec.msgpack.Decoder[ToHost] = msgspec.msgpack.Decoder(ToHost)
_for_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)


def frame(message: ToHost | ToWorker) -> bytearray:
    """Encode ``message`` with its length in front, in one buffer. Raises ``ValueError`` for one
    that the other end would not take."""
    buffer = bytearray(LENGTH)
    _encoder.encode_into(message, buffer, LENGTH)
    if len(buffer) > LENGTH + MAX_FRAME:
        raise ValueError(f"it takes {len(buffer)} bytes, and at most {MAX_FRAME} can be sent")
    buffer[:LENGTH] = (len(buffer) - LENGTH).to_bytes(LENGTH, "big")
    return buffer


def to_host(data: bytes | bytearray | memoryview) -> ToHost:
    """Decode what a worker sent. Raises :class:`msgspec.DecodeError`."""
    return _for_host.decode(data)


def to_worker(data: bytes | bytearray | memoryview) -> ToWorker:
    """Decode what a host sent. Raises :class:`msgspec.DecodeError`."""
    return _for_worker.decode(data)


# -- bodies of the control plane -------------------------------------------------------------


class Connection(msgspec.Struct, omit_defaults=True):
    """The connection file: where a host listens for workers. Mode 0600."""

    host_id: str
    pid: int
    path: str | None = None  # a Unix socket
    port: int | None = None  # else TCP on 127.0.0.1, with ``secret``
    secret: str | None = None


class EndpointSpec(msgspec.Struct, omit_defaults=True):
    """A custom endpoint. ``path`` begins with a slash and may have ``{placeholders}``;
    ``operation`` is its OpenAPI operation object."""

    method: str
    path: str
    name: str
    auth_required: bool = True
    operation: msgspec.Raw = msgspec.Raw(b"{}")


class Deploy(msgspec.Struct, omit_defaults=True):
    """Body of ``POST api/v1/deployments``: serve the worker's binding ``key`` under ``name``."""

    name: str
    pipeline: str
    key: str
    digest: str
    input_schema: msgspec.Raw
    output_schema: msgspec.Raw
    steps: list[str] = []
    source: str = "[]"
    notes: list[str] = []
    held: msgspec.Raw = msgspec.Raw(b"[]")
    settings: dict[str, object] = {}
    notebook: str | None = None
    stored: str = "pending"
    overtake: bool = False
    endpoints: list[EndpointSpec] = []
    middleware: bool = False
    site: str | None = None  # digest of the deployment's own front end, kept in the store
    again: bool = False  # told anew after the link was lost, and no deploy of the user
    restored: int | None = None  # the snapshot that a dedicated kernel restored
    ticket: int | None = None  # whose request to restore it this answers
    note: str | None = None  # what the author says of this snapshot
    traffic: float | None = None  # the share of the calls that it gets beside what is served
    manifest: msgspec.Raw = msgspec.Raw(b"null")  # with ``isolated``: it is stored already
    environment: msgspec.Raw = msgspec.Raw(b"null")
    gate: dict[str, object] | None = None  # what the gate found that let this pass
    model: dict[str, str] | None = None  # the version that it follows: model, alias, id, version
    loaded: list[str] = []  # ids of the artifact versions that ``on_init`` loaded


class Stored(msgspec.Struct, omit_defaults=True):
    """Body of ``PATCH api/v1/snapshots/{pipeline}/{number}``: the stored form was written."""

    stored: str
    manifest: msgspec.Raw = msgspec.Raw(b"null")
    environment: msgspec.Raw = msgspec.Raw(b"null")
