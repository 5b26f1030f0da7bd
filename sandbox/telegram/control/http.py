"""Reading control API requests and writing its responses."""

import json
from typing import TypeVar

from aiohttp import BodyPartReader, web
from pydantic import BaseModel

from sandbox.telegram.api.requests import Upload, read_part
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json

Model = TypeVar("Model", bound=BaseModel)

_UPLOAD_LIMIT = 200 * 1024 * 1024


def json_response(body: Json, status: int = 200) -> web.Response:
    """Return a JSON response."""
    content = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(status=status, body=content, content_type="application/json")


def query_int(request: web.Request, name: str) -> int | None:
    """Return a number of the query, or None when it is missing or empty.

    Raises:
        ControlApiError: 400 when it is not a number.
    """
    text = request.query.get(name)
    if text in (None, ""):
        return None
    try:
        return int(text or "")
    except ValueError as error:
        raise ControlApiError(f"{name} must be a number") from error


def path_int(request: web.Request, name: str) -> int:
    """Return a number of the path.

    Raises:
        ControlApiError: 404 when it is not a number.
    """
    try:
        return int(request.match_info[name])
    except ValueError as error:
        raise ControlApiError(f"{name} must be a number", 404) from error


async def read_body(request: web.Request, model: type[Model]) -> Model:
    """Read a JSON body; ``bot`` may be in the query instead.

    Raises:
        ControlApiError: 400 when the body is not a JSON object.
        pydantic.ValidationError: When its fields do not fit the model.
    """
    text = await request.text()
    try:
        fields = json.loads(text or "{}")
    except ValueError as error:
        raise ControlApiError("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise ControlApiError("the body must be a JSON object")
    if (bot := query_int(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    return model.model_validate(fields)


async def read_form(request: web.Request) -> tuple[Json, Upload | None]:
    """Read the fields and at most one file of a multipart or JSON body.

    Raises:
        ControlApiError: 400 when the body is not a JSON object or has more than one file, 413 for a file of more
            than 200 MB.
    """
    if not request.content_type.startswith("multipart/"):
        return (await read_body(request, _AnyFields)).model_dump(), None
    fields: Json = {}
    upload: Upload | None = None
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data, size = await read_part(part, _UPLOAD_LIMIT)
        if size > _UPLOAD_LIMIT:
            raise ControlApiError(f"a file of {size} bytes is too big for the sandbox", 413)
        if part.filename is None:
            fields[part.name] = data.decode()
        elif upload is not None:
            raise ControlApiError("only one file per message")
        else:
            upload = Upload(data, part.filename, part.headers.get("Content-Type"))
    if (bot := query_int(request, "bot")) is not None:
        fields.setdefault("bot", bot)
    if isinstance(fields.get("extra"), str):
        fields["extra"] = json.loads(fields["extra"])
    return fields, upload


class _AnyFields(BaseModel, extra="allow"):
    """Any JSON object."""
