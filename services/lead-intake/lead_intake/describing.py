"""What OpenAPI says of the doors: FastAPI knows its own routes, and the fast ones are none of its."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from backbone import idempotency, problem
from lead_intake.payloads import MOST_IN_A_BATCH, Correction, EngagementPost, LeadPost, TouchPost

_POSTS: Final = {"leads": LeadPost, "engagements": EngagementPost, "touches": TouchPost}
_ANSWER: Final = {
    "type": "object",
    "required": ["event_id", "outcome"],
    "properties": {
        "event_id": {"type": "string", "format": "uuid"},
        "lead_id": {"type": "string", "format": "uuid"},
        "outcome": {"enum": ["created", "updated", "merged", "duplicate", "ignored", "erased", "held"]},
        "reason": {"type": "string"},
    },
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST_KEY},
}


def publish(app: FastAPI) -> None:
    """Put the doors beside FastAPI's own routes in /openapi.json."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add(plain())
        return plain()

    app.openapi = whole  # type: ignore[method-assign]


def _add(schema: dict[str, Any]) -> None:
    shapes = (*_POSTS.values(), Correction)
    refs, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for (plural, _), ref in zip(_POSTS.items(), refs, strict=False):
        many = _object(**{plural: {"type": "array", "items": ref, "minItems": 1, "maxItems": MOST_IN_A_BATCH}})
        results = {"type": "array", "items": {"anyOf": [_ANSWER, _object(error={"type": "object"})]}}
        schema["paths"][f"/v1/{plural}"] = {"post": _operation(plural, ref, _ANSWER)}
        schema["paths"][f"/v1/{plural}/batch"] = {"post": _operation(plural, many, _object(results=results))}
    hook = _operation("hooks", {}, _object(events={"type": "array", "items": _ANSWER}))
    hook["parameters"] = [{"name": "connection_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    schema["paths"]["/v1/hooks/{connection_id}"] = {"post": hook}
    schema["paths"]["/v1/leads/{lead_id}"]["patch"]["requestBody"] = _json(refs[-1])


def _operation(tag: str, body: Any, answer: Any) -> dict[str, Any]:
    refusals = {"400": "No JSON", "401": "Who are you", "413": "Too large", "422": "Not valid", "429": "Too fast"}
    refused = {"content": {problem.MEDIA_TYPE: {"schema": {"type": "object"}}}}
    return {
        "tags": [tag],
        "parameters": [_KEY],
        "requestBody": _json(body),
        "responses": {
            "202": {"description": "Durable", **_json(answer)},
            **{status: {"description": words, **refused} for status, words in refusals.items()},
            "503": {"description": "Not available now; come again after Retry-After", **refused},
        },
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
