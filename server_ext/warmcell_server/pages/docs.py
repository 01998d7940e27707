"""An OpenAPI document as a page: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from warmcell_server.pages.assets import policy, style
from warmcell_server.pages.markup import Html, el, inline, join, prose
from warmcell_server.pages.schema import anchor, json_block, schema_html, type_html

__all__ = ["docs", "docs_policy"]

_STYLE = "docs.css"
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")


def docs_policy() -> str:
    """The Content-Security-Policy of the page."""
    return policy(_STYLE)


def docs(document: dict[str, Any], url: str) -> str:
    """Return the page of ``document``. ``url`` is the address that its paths are relative to."""
    info = document["info"]
    operations = list(_operations(document))
    components = document.get("components", {})
    body = el(
        "main",
        el("h1", info["title"], " ", el("small", info["version"])),
        prose(info.get("description")),
        el("p", "Base address: ", el("code", url.rstrip("/"))),
        el("p", el("a", "Try it", href="./"), " · ", el("a", "openapi.json", href="openapi.json")),
        el("h2", "Access"),
        _access(components.get("securitySchemes", {})),
        *_sections(document, operations),
        el("h2", "Schemas"),
        *(
            el(
                "details",
                el("summary", el("code", name)),
                schema_html(schema),
                *_examples_of(schema),
                id=anchor(name),
            )
            for name, schema in components.get("schemas", {}).items()
        ),
    )
    return "<!DOCTYPE html>\n" + el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("title", f"{info['title']} · API"),
            el("meta", name="viewport", content="width=device-width"),
            el("style", Html(style(_STYLE))),
        ),
        el("body", _navigation(operations), body),
        lang="en",
    )


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each path, method and operation; shared parameters are in the operation."""
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in _METHODS:
            if method in item:
                operation = item[method]
                parameters = [
                    _resolved(part, document)
                    for part in [*shared, *operation.get("parameters", [])]
                ]
                responses = {
                    status: _resolved(answer, document)
                    for status, answer in operation.get("responses", {}).items()
                }
                yield (
                    path,
                    method,
                    {**operation, "parameters": parameters, "responses": responses},
                )


def _resolved(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {})
    resolved: dict[str, Any] = found
    return resolved


def _navigation(operations: list[tuple[str, str, dict[str, Any]]]) -> Html:
    return el(
        "nav",
        el(
            "ul",
            *(
                el("li", el("a", _method(method), " ", el("code", path), href=f"#{_id(operation)}"))
                for path, method, operation in operations
            ),
        ),
    )


def _sections(
    document: dict[str, Any], operations: list[tuple[str, str, dict[str, Any]]]
) -> Iterator[Html]:
    texts = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    tags = list(texts)
    tags += [t for _, _, o in operations for t in o.get("tags", []) if t not in texts]
    for tag in dict.fromkeys(tags):
        yield el("h2", tag.capitalize())
        yield prose(texts.get(tag))
        for path, method, operation in operations:
            if (operation.get("tags") or [None])[0] == tag:
                yield _operation(path, method, operation, document)
    for path, method, operation in operations:
        if not operation.get("tags"):
            yield _operation(path, method, operation, document)


def _operation(path: str, method: str, operation: dict[str, Any], document: dict[str, Any]) -> Html:
    parts = [
        el("h3", _method(method), " ", el("code", path)),
        el("p", operation.get("summary"), class_="summary"),
        prose(operation.get("description")),
    ]
    if {} in operation.get("security", ()):
        parts.append(el("p", "Open to everybody."))
    if operation["parameters"]:
        parts += [el("h4", "Parameters"), _parameters(operation["parameters"])]
    body = operation.get("requestBody")
    if body:
        parts += [el("h4", "Body"), prose(body.get("description")), _content(body["content"])]
    parts += [el("h4", "Answers"), _answers(operation["responses"], document)]
    return el("section", *parts, id=_id(operation))


def _parameters(parameters: list[dict[str, Any]]) -> Html:
    rows = []
    for part in parameters:
        mark = f"{part['in']}, required" if part.get("required") else part["in"]
        rows += [
            el("dt", el("code", part["name"]), " ", el("span", mark, class_="mark")),
            el("dd", schema_html(part.get("schema", {})), prose(part.get("description"))),
        ]
    return el("dl", *rows, class_="properties")


def _answers(responses: dict[str, Any], document: dict[str, Any]) -> Html:
    """Successes at length; what may go wrong behind one line: it is much the same everywhere."""
    errors = {s: answer for s, answer in responses.items() if s >= "4" and s != "default"}
    others = {s: answer for s, answer in responses.items() if s not in errors}
    if not errors:
        return _answer_rows(others, document)
    summary = el("summary", "Errors: ", el("code", ", ".join(errors)))
    return join(
        _answer_rows(others, document), el("details", summary, _answer_rows(errors, document))
    )


def _answer_rows(responses: dict[str, Any], document: dict[str, Any]) -> Html:
    rows = []
    for status, answer in responses.items():
        headers = [
            el(
                "li",
                el("code", name),
                " ",
                inline(_resolved(header, document).get("description", "")),
            )
            for name, header in answer.get("headers", {}).items()
        ]
        rows += [
            el("dt", el("code", status)),
            el(
                "dd",
                prose(answer.get("description")),
                _content(answer.get("content", {})),
                el("ul", *headers, class_="headers") if headers else None,
            ),
        ]
    return el("dl", *rows, class_="answers")


def _content(content: dict[str, Any]) -> Html:
    parts: list[Html] = []
    for media, found in content.items():
        schema = found.get("schema")
        kind = type_html(schema) if schema is not None else None
        parts.append(el("p", el("code", media), *([": ", kind] if kind else [])))
        for example in found.get("examples", {}).values():
            summary = el("summary", f"Example: {example.get('summary', '')}")
            parts.append(el("details", summary, json_block(example.get("value"))))
    return join(*parts)


def _access(schemes: dict[str, Any]) -> Html:
    rows = []
    for scheme in schemes.values():
        name = scheme.get("name", "Authorization")
        form = f"{name}: Bearer …" if scheme.get("scheme") == "bearer" else f"{name}: …"
        rows += [el("dt", el("code", form)), el("dd", prose(scheme.get("description")))]
    return el("dl", *rows, class_="properties")


def _examples_of(schema: Any) -> Iterator[Html]:
    if isinstance(schema, dict) and isinstance(schema.get("examples"), list):
        for value in schema["examples"]:
            yield json_block(value)


def _method(method: str) -> Html:
    return el("span", method.upper(), class_=f"method {method}")


def _id(operation: dict[str, Any]) -> str:
    return f"op-{operation.get('operationId', '')}"
