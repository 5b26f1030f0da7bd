"""Reading requests of the person's side and writing its answers."""

import json
from typing import Any, TypeVar

from aiohttp import BodyPartReader, web
from pydantic import BaseModel

from sandbox.telegram.api.requests import Upload, read_part
from sandbox.telegram.errors import ControlApiError

Json = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

USER_UPLOAD_LIMIT = 200 * 1024 * 1024


def json_response(body: Json, status: int = 200) -> web.Response:
    """A JSON answer."""
    content = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(status=status, body=content, content_type="application/json")


def query_int(request: web.Request, name: str) -> int | None:
    """A number in the query, or None."""
    text = request.query.get(name)
    if text in (None, ""):
        return None
    try:
        return int(text or "")
    except ValueError as error:
        raise ControlApiError(f"{name} must be a number") from error


def path_int(request: web.Request, name: str) -> int:
    """A number in the path."""
    try:
        return int(request.match_info[name])
    except ValueError as error:
        raise ControlApiError(f"{name} must be a number", 404) from error


async def read_body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body with ``?bot=`` taken in."""
    text = await request.text()
    try:
        fields = json.loads(text or "{}")
    except ValueError as error:
        raise ControlApiError("the body is no JSON") from error
    if not isinstance(fields, dict):
        raise ControlApiError("the body must be a JSON object")
    if (bot := query_int(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    return model.model_validate(fields)


async def read_form(request: web.Request) -> tuple[Json, Upload | None]:
    """Fields and at most one file of a multipart or JSON body."""
    if not request.content_type.startswith("multipart/"):
        return (await read_body(request, _AnyFields)).model_dump(), None
    fields: Json = {}
    upload: Upload | None = None
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data, size = await read_part(part, USER_UPLOAD_LIMIT)
        if size > USER_UPLOAD_LIMIT:
            raise ControlApiError(f"a file of {size} bytes is too big for this stand", 413)
        if part.filename is None:
            fields[part.name] = data.decode()
        elif upload is not None:
            raise ControlApiError("one file a message")
        else:
            upload = Upload(data, part.filename, part.headers.get("Content-Type"))
    if (bot := query_int(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    if isinstance(fields.get("extra"), str):
        fields["extra"] = json.loads(fields["extra"])
    return fields, upload


class _AnyFields(BaseModel, extra="allow"):
    """Any JSON object."""
