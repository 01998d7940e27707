"""From a request to the arguments of an endpoint's function, checked by their types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
import pydantic

from warmcell.around.endpoints.definition import Endpoint
from warmcell.around.exchange import Request, Response
from warmcell.errors import DefinitionError, ParameterError
from warmcell.schemas.jsontypes import adapted
from warmcell.schemas.parameters import ParameterModel, resolved_hints

__all__ = ["Arguments"]

_BODY = frozenset({"POST", "PUT", "PATCH"})
_PLAIN = frozenset({"string", "number", "integer", "boolean", "null"})
_JSON = "application/json"


class Arguments:
    """What the function of an endpoint takes, and from which part of a request.

    Placeholders come from the path. Of the others, plain types come from the query and all else
    from the body: one such parameter is the whole body, several are the keys of an object.
    """

    def __init__(self, endpoint: Endpoint, function: Callable[..., Any]) -> None:
        self.endpoint = endpoint
        self.target: Any = function if inspect.isroutine(function) else function.__call__  # type: ignore[operator]
        self.signature = inspect.signature(function)
        self.hints = resolved_hints(self.target)
        self.requests: list[str] = []
        self.raw: str | None = None
        parts: dict[str, list[inspect.Parameter]] = {"path": [], "query": [], "body": []}
        for parameter in self.signature.parameters.values():
            part = self._part(parameter)
            if part == "request":
                self.requests.append(parameter.name)
            elif part == "raw":
                self.raw = parameter.name
            else:
                parts[part].append(parameter)
        if self.raw is not None and parts["body"]:
            raise self._wrong(f"`{self.raw}` takes the whole body as bytes, and others need it too")
        if (parts["body"] or self.raw) and endpoint.method not in _BODY:
            name = self.raw or parts["body"][0].name
            raise self._wrong(
                f"`{name}` has a type for a body, and a {endpoint.method} request has none",
                "Use POST, or plain types for the query.",
            )
        self.path = self._model(parts["path"])
        self.query = self._model(parts["query"])
        self.body = self._model(parts["body"]) if parts["body"] else None
        self.single = parts["body"][0].name if len(parts["body"]) == 1 else None
        self.lists = frozenset(self._lists())

    def _part(self, parameter: inspect.Parameter) -> str:
        name = parameter.name
        hint = self.hints.get(name, parameter.annotation)
        if parameter.kind is parameter.VAR_KEYWORD:
            return "query"
        if hint is Request or (hint is parameter.empty and name == "request"):
            return "request"
        if name in self.endpoint.placeholders:
            return "path"
        if hint is parameter.empty or hint is Any:
            plain = parameter.default is not parameter.empty
            return "query" if plain or self.endpoint.method not in _BODY else "body"
        if hint is bytes:
            return "raw"
        try:
            schema = pydantic.TypeAdapter(adapted(hint)).json_schema()
        except (pydantic.PydanticUserError, TypeError, ValueError) as error:
            raise self._wrong(
                f"`{name}` has the type {hint}, which no request can carry",
                "Use types that JSON has, `bytes`, or `Request`.",
            ) from error
        form = _form(schema, schema.get("$defs", {}))
        listed = form == "list" and self.endpoint.method not in _BODY
        return "query" if form == "plain" or listed else "body"

    def _lists(self) -> Iterator[str]:
        """The parameters of the query that may be there several times."""
        schema = self.query.json_schema()
        for name, inner in schema["properties"].items():
            if _form(inner, schema.get("$defs", {})) == "list":
                yield name

    def _model(self, parameters: list[inspect.Parameter]) -> ParameterModel:
        where = f" ({self.endpoint.source.place})"
        return ParameterModel(inspect.Signature(parameters), self.hints, self.endpoint.name, where)

    def _wrong(self, what: str, hint: str | None = None) -> DefinitionError:
        endpoint = self.endpoint
        return DefinitionError(
            f"Endpoint `{endpoint.name}` ({endpoint.source.place}): {what}.", hint=hint
        )

    # -- a request ---------------------------------------------------------------------------

    def bind(self, request: Request) -> dict[str, Any]:
        """The keywords for the function. Raises :class:`ParameterError` with pointers into
        ``/path``, ``/query`` and ``/body``."""
        found: dict[str, Any] = dict.fromkeys(self.requests, request)
        errors: list[dict[str, Any]] = []
        self._take(found, errors, "path", partial(_words, self.path, request.path_params))
        self._take(found, errors, "query", partial(_words, self.query, self._query(request)))
        if self.raw is not None:
            found[self.raw] = request.body
        elif self.body is not None:
            self._take(found, errors, "body", partial(self._body, self.body, request.body))
        if errors:
            told = "; ".join(f"{e['pointer']}: {e['message']}" for e in errors[:3])
            raise ParameterError(f"{told}.", errors=errors)
        return found

    def _query(self, request: Request) -> dict[str, Any]:
        """The query by names: a list where the parameter is one, else the last value."""
        found: dict[str, Any] = {}
        for name, value in request.query_list:
            if name in self.lists:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        return found

    def _body(self, model: ParameterModel, body: bytes) -> dict[str, Any]:
        if self.single is None or not body.strip():
            return model.validate_json(body.strip() or b"{}")
        name = msgspec.json.encode(self.single)
        return model.validate_json(b"{" + name + b":" + body + b"}")

    def _take(
        self,
        found: dict[str, Any],
        errors: list[dict[str, Any]],
        part: str,
        check: Callable[[], dict[str, Any]],
    ) -> None:
        try:
            found.update(check())
        except ParameterError as misfit:
            single = f"/{self.single}" if part == "body" and self.single else ""
            for error in misfit.errors:
                pointer = error["pointer"].removeprefix("/parameters").removeprefix(single)
                errors.append({**error, "pointer": f"/{part}{pointer}"})

    # -- its description ---------------------------------------------------------------------

    def operation(self) -> dict[str, Any]:
        """The OpenAPI operation; definitions of its schemas are in ``$defs`` beside them."""
        doc = inspect.getdoc(self.endpoint.handler) or ""
        summary, _, description = doc.partition("\n")
        found: dict[str, Any] = {"summary": summary.strip() or self.endpoint.name}
        if description.strip():
            found["description"] = description.strip()
        parameters = [*_parameters(self.path, "path"), *_parameters(self.query, "query")]
        if parameters:
            found["parameters"] = parameters
        if self.raw is not None:
            content: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
            found["requestBody"] = {"content": content}
        elif self.body is not None:
            schema = self.body.json_schema()
            schema.pop("$schema", None)
            required = bool(schema.get("required"))
            if self.single is not None:
                inner = schema["properties"][self.single]
                schema = {**inner, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}
            found["requestBody"] = {"required": required, "content": {_JSON: {"schema": schema}}}
        found["responses"] = {"200": self._answer(), "default": {"description": "Another answer"}}
        return found

    def _answer(self) -> dict[str, Any]:
        hint = self.hints.get("return", inspect.Signature.empty)
        if hint is inspect.Signature.empty or (
            isinstance(hint, type) and issubclass(hint, Response)
        ):
            return {"description": "The answer"}
        try:
            schema = pydantic.TypeAdapter(adapted(hint)).json_schema(mode="serialization")
        except (pydantic.PydanticUserError, TypeError, ValueError):
            schema = {}
        return {"description": "The answer", "content": {_JSON: {"schema": schema}}}


def _words(model: ParameterModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check words of a URL. What only JSON says (1 for a ``Literal[1, 2]``) is understood too."""
    try:
        return model.validate(given)
    except ParameterError:
        try:
            return model.validate({name: _decoded(value) for name, value in given.items()})
        except ParameterError:
            pass
        raise


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _parameters(model: ParameterModel, place: str) -> list[dict[str, Any]]:
    schema = model.json_schema()
    definitions = schema.get("$defs")
    found = []
    for name, inner in schema["properties"].items():
        described = {"$defs": definitions, **inner} if definitions else inner
        required = place == "path" or name in schema.get("required", ())
        found.append({"name": name, "in": place, "required": required, "schema": described})
    return found


def _form(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """ "plain" for what can be one word in a URL, "list" for a list of such, else "other"."""
    if "$ref" in schema:
        return _form(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if branches:
        forms = {_form(b, definitions) for b in branches if b.get("type") != "null"}
        return forms.pop() if len(forms) == 1 else "other"
    kind = schema.get("type")
    if kind == "array":
        return "list" if _form(schema.get("items", {}), definitions) == "plain" else "other"
    if kind is None:
        return "plain" if "enum" in schema or "const" in schema else "other"
    return "plain" if set([kind] if isinstance(kind, str) else kind) <= _PLAIN else "other"
