"""OpenAPI document of a served model, made of what it has learned, and a page of it that needs no network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from daskflow.data.schema import Column, ColumnKind
from daskflow.streams.serve_arrow import ARROW
from daskflow.streams.serve_limits import Limits
from daskflow.streams.serve_models import Served

JSON = "application/json"

STATUSES: Mapping[int, str] = {
    400: "The body is not JSON, or no whole Arrow stream, or has another form than asked.",
    401: "The token is missing or another one.",
    403: "A web page of another place asks.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body's type is none of the two.",
    422: "No row could be answered; each has its error.",
    429: "Too many requests wait; come again after Retry-After seconds.",
    500: "The model could not be asked.",
    503: "The server stops.",
    504: "There was no answer in time.",
}


def document(served: Served, limits: Limits, *, has_token: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a served model."""
    row = row_schema(served)
    answer = answer_schema(served)
    error = {"$ref": "#/components/schemas/Error"}
    reply = {"description": "A prediction, or an error, for each row in order.", "content": _answers()}
    refused = {"content": {JSON: {"schema": {"type": "object", "required": ["error"], "properties": {"error": error}}}}}
    responses: dict[str, Any] = {"200": reply, "422": {**reply, "description": STATUSES[422]}}
    responses |= {str(code): {"description": text, **refused} for code, text in STATUSES.items() if code != 422}
    guarded: dict[str, Any] = {"security": [{"token": []}]} if has_token else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Predictions of '{served.model.target.name}'",
            "version": served.identity[:12] or "unwritten",
            "description": f"A {served.model.task} model of {len(served.scorer.columns.names)} columns. A body has "
            f"{limits.max_bytes:,} bytes at most.",
        },
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Predict rows.",
                    **guarded,
                    "requestBody": {"required": True, "content": _questions(row)},
                    "responses": dict(sorted(responses.items())),
                }
            },
            "/health": _reading("Whether the process lives."),
            "/ready": _reading("Whether requests are taken; 503 while not."),
            "/schema": _reading("Columns, target and labels of the model."),
            "/metrics": _reading("Counts in Prometheus' text format.", "text/plain"),
        },
        "components": {
            "schemas": {
                "Row": row,
                "Answer": answer,
                "Error": {
                    "type": "object",
                    "required": ["reason", "message"],
                    "properties": {"reason": {"type": "string"}, "message": {"type": "string"}},
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if has_token else {},
        },
    }


def row_schema(served: Served) -> dict[str, Any]:
    """Return the JSON Schema of one row."""
    columns = served.scorer.columns
    return {
        "type": "object",
        "required": list(columns.names),
        "properties": {column.name: _values(column) for column in columns.columns},
        "additionalProperties": not served.is_strict,
    }


def answer_schema(served: Served) -> dict[str, Any]:
    """Return the JSON Schema of one answer."""
    classes = served.model.classes
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    prediction: dict[str, Any] = {"type": ["number", "null"]}
    if classes:
        prediction = {"type": kinds.get(type(classes[0]), "string"), "enum": list(classes)}
    properties = {"prediction": prediction}
    if served.scorer.has_probabilities:
        properties |= {f"probability_{label}": {"type": "number", "minimum": 0, "maximum": 1} for label in classes}
    return {"type": "object", "required": list(properties), "properties": properties}


def _values(column: Column) -> dict[str, Any]:
    """What a column's values are, as JSON Schema says it; null is a missing value."""
    if column.type == "null":
        return {"description": "Without a value in training; any value is passed over."}
    if column.kind is ColumnKind.DATETIME:
        has_zone = pa.types.is_timestamp(column.arrow_type) and column.arrow_type.tz is not None
        text = f"ISO 8601, {'with' if has_zone else 'without'} a time zone"
        return {"type": ["string", "null"], "format": "date-time", "description": text}
    kind = {ColumnKind.BOOLEAN: "boolean", ColumnKind.CATEGORICAL: "string"}.get(column.kind, "number")
    return {"type": [kind, "null"]}


def _questions(row: Mapping[str, Any]) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Row"}
    several = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "items": reference}},
    }
    single = {
        "type": "object",
        "required": ["row"],
        "additionalProperties": False,
        "properties": {"row": reference},
    }
    example = {name: _example(values) for name, values in row["properties"].items()}
    return {
        JSON: {"schema": {"oneOf": [several, single]}, "example": {"rows": [example]}},
        ARROW: {"schema": {"type": "string", "format": "binary", "description": "An uncompressed Arrow IPC stream."}},
    }


def _example(values: Mapping[str, Any]) -> Any:
    if values.get("format") == "date-time":
        return "2024-05-01T13:30:00" + ("Z" if ", with a" in values["description"] else "")
    return {"number": 0.0, "boolean": False, "string": "text"}.get(values.get("type", [""])[0])


def _answers() -> dict[str, Any]:
    error = {"type": "object", "required": ["error"], "properties": {"error": {"$ref": "#/components/schemas/Error"}}}
    items = {"oneOf": [{"$ref": "#/components/schemas/Answer"}, error]}
    return {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["model", "predictions"],
                "properties": {
                    "model": {"type": "string", "description": "Checksum of the model that answered."},
                    "predictions": {"type": "array", "items": items},
                },
            }
        },
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    }


def _reading(summary: str, kind: str = JSON) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": {"description": summary, "content": {kind: {}}}}}}


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 22%, transparent) }}
body {{ font: 15px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1.25rem }}
h1 {{ font-size: 1.5rem; margin-bottom: .25rem }}
h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }}
code, pre, textarea {{ font: 13px/1.5 ui-monospace, monospace }}
pre, textarea {{ box-sizing: border-box; width: 100%; padding: .7rem; border: 1px solid var(--line); border-radius: 6px;
  overflow: auto; background: none; color: inherit }}
textarea {{ min-height: 14rem }}
input {{ font: inherit; padding: .25rem .5rem }}
button {{ font: inherit; padding: .35rem 1.1rem; margin: .5rem 0 }}
</style></head>
<body>
<h1>{title}</h1>
<p>{about} The same as a document for tools: <a href="openapi.json">openapi.json</a>.</p>
<h2>Try it</h2>
<form id="form"><label for="body">Body of <code>POST /predict</code></label>
<textarea id="body" spellcheck="false">{example}</textarea>
{token}<button>Predict</button></form>
<pre id="answer" aria-live="polite">The answer stands here.</pre>
<h2>Columns of a row</h2>
<table><thead><tr><th>Name</th><th>Value</th></tr></thead><tbody>{columns}</tbody></table>
<h2>Answers</h2>
<table><thead><tr><th>Status</th><th>When</th></tr></thead><tbody>{statuses}</tbody></table>
<script>
const form = document.getElementById("form"), answer = document.getElementById("answer");
form.addEventListener("submit", async (event) => {{
  event.preventDefault();
  const headers = {{"Content-Type": "application/json"}}, token = document.getElementById("token");
  if (token && token.value) headers.Authorization = "Bearer " + token.value;
  try {{
    const reply = await fetch("predict", {{method: "POST", headers, body: document.getElementById("body").value}});
    const text = await reply.text();
    let shown = text;
    try {{ shown = JSON.stringify(JSON.parse(text), null, 2); }} catch {{ }}
    answer.textContent = reply.status + "\\n" + shown;
  }} catch (error) {{ answer.textContent = "No answer: " + error.message; }}
}});
</script>
</body></html>
"""


def page(served: Served, limits: Limits, *, has_token: bool) -> str:
    """Return the page: what a row must have, what is answered, and a form that asks."""
    told = document(served, limits, has_token=has_token)
    row = told["components"]["schemas"]["Row"]
    example = told["paths"]["/predict"]["post"]["requestBody"]["content"][JSON]["example"]
    field = '<p><label>Token <input id="token" type="password" autocomplete="off"></label></p>\n' if has_token else ""
    columns = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(_words(values))}</td></tr>"
        for name, values in row["properties"].items()
    )
    rows = [(200, "A prediction, or an error, for each row in order."), *STATUSES.items()]
    return PAGE.format(
        title=html.escape(told["info"]["title"]),
        about=html.escape(told["info"]["description"]),
        example=html.escape(json.dumps(example, indent=1, ensure_ascii=False)),
        token=field,
        columns=columns,
        statuses="".join(f"<tr><td>{code}</td><td>{html.escape(text)}</td></tr>" for code, text in sorted(rows)),
    )


def _words(values: Mapping[str, Any]) -> str:
    """A column's values in words."""
    kind = values.get("type", ["any value"])[0]
    said = values.get("description")
    return f"{kind} or null" + (f": {said}" if said else "")
