"""`/docs`: the API's reference, written from its own schema. One page without scripts, because others come from a CDN."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from dashboard.api import plain_page

router = APIRouter(include_in_schema=False)


def _text(text: str) -> str:
    """Escaped, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


@router.get("/docs")
def get_docs(request: Request) -> Response:
    """Every route with its parameters and body."""
    return HTMLResponse(plain_page.render("API", page(request.app.openapi())))


def page(schema: Mapping[str, Any]) -> str:
    """The schema as markup. Pure."""
    groups: dict[str, list[str]] = {}
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            groups.setdefault(route.get("tags", ["other"])[0], []).append(_route(path, method, route))
    sections = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(routes)}" for tag, routes in groups.items())
    info = schema["info"]
    return (
        f"<main><h1>{html.escape(info['title'])} API</h1><p>{html.escape(info.get('description', ''))} "
        f'Machines read <a href="/openapi.json">openapi.json</a>; live updates come over the WebSocket '
        f'<code>/api/v1/live</code>. Back to the <a href="/">runs</a>.</p>{sections}</main>'
    )


def _route(path: str, method: str, route: Mapping[str, Any]) -> str:
    rows = "".join([*map(_parameter, route.get("parameters", ())), *_body(route.get("requestBody", {}))])
    table = f"<table><tr><th>name</th><th>where</th><th>type</th><th>meaning</th></tr>{rows}</table>" if rows else ""
    text = _text(route.get("description", ""))
    return (
        f'<details><summary><span class="method">{html.escape(method.upper())}</span><span class="path">{html.escape(path)}</span>'
        f'<span class="what">{text.split(". ")[0].rstrip(".")}</span></summary><p>{text}</p>{table}</details>'
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    said = parameter.get("description", "") + (" (required)" if parameter.get("required") else "")
    return _row(parameter["name"], parameter["in"], _kind(parameter.get("schema", {})), said)


def _body(body: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in body.get("content", {}).items():
        schema = content.get("schema", {})
        required = schema.get("required", ())
        if not schema.get("properties"):
            yield _row(media_type, "body", _kind(schema), "")
        for name, field in schema.get("properties", {}).items():
            said = field.get("description", "") + (" (required)" if name in required else "")
            yield _row(name, "body", _kind(field), said)


def _row(*cells: str) -> str:
    name, *others = cells
    return f"<tr><td><code>{html.escape(name)}</code></td>{''.join(f'<td>{_text(cell)}</td>' for cell in others)}</tr>"


def _kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([str(schema.get("format") or schema.get("type", "any")), *bounds])
