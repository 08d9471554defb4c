"""Bodies that come from a page's form or from a script: read into the same model, refused in the same words."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from backbone.problem import Pointer, Problem

M = TypeVar("M", bound=BaseModel)


async def read(request: Request, model: type[M]) -> M:
    """Return the body as the model says. An empty field of a form is one that was not sent."""
    raw = await _raw(request)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        pointers = [
            Pointer("/" + "/".join(str(part) for part in one["loc"]), str(one["msg"])) for one in error.errors()
        ]
        raise Problem(
            422, "Not valid", "Correct the fields that `errors` points at and send it again.", errors=pointers
        ) from None


async def _raw(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form()
        return {name: value for name, value in form.items() if value != "" and not isinstance(value, UploadFile)}
    body = await request.body()
    if not body:
        return {}
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise Problem(400, "Malformed JSON", "The body has to be one JSON object in UTF-8, or a form.")
    return raw
