"""Bot API requests: read from HTTP and validated with aiogram's classes of the methods."""

import functools
import inspect
import json
import typing
from dataclasses import dataclass
from typing import Any

from aiogram import methods
from aiogram.methods import TelegramMethod
from aiohttp import BodyPartReader, web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandbox.telegram.errors import ApiError, bad_request
from sandbox.telegram.json_types import Json

AnyMethod = TelegramMethod[Any]

_UPLOAD_LIMIT = 50 * 1024 * 1024

METHODS: dict[str, type[AnyMethod]] = {
    cls.__api_method__.lower(): cls
    for _, cls in inspect.getmembers(methods, inspect.isclass)
    if issubclass(cls, TelegramMethod) and cls is not TelegramMethod
}
"""aiogram's classes of all Bot API methods, by the method's name in lower case."""

_MEDIA_FIELDS = ("photo", "video", "audio", "voice", "document", "animation")
_MISSING = {"chat_id": "chat_id is empty", "text": "message text is empty"}
_ARRAY_ITEM_NAMES = {"media": "InputMedia", "prices": "labeled prices", "commands": "BotCommand"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a request."""

    data: bytes
    file_name: str
    content_type: str | None


@dataclass(slots=True)
class ApiRequest:
    """A request's parameters, not yet validated, and its files by the name of their part."""

    params: Json
    uploads: dict[str, Upload]


async def read_request(request: web.Request) -> ApiRequest:
    """Read a request's parameters and files from its query and its form, multipart or JSON body.

    Raises:
        ApiError: 400 for a body that is no JSON object, 413 for more than 50 MB of files.
    """
    params: Json = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.content_type == "application/json":
        params.update(_json_object(await request.read()))
    elif request.content_type.startswith("multipart/"):
        fields, uploads, size = await read_parts(request, _UPLOAD_LIMIT)
        if size > _UPLOAD_LIMIT:
            raise ApiError(413, "Request Entity Too Large")
        params.update(fields, **{name: f"attach://{name}" for name in uploads if name in _MEDIA_FIELDS})
    elif request.method == "POST":
        params.update(await request.post())
    return ApiRequest(params, uploads)


def _json_object(body: bytes) -> Json:
    try:
        decoded = json.loads(body or b"{}")
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(decoded, dict):
        raise bad_request("object expected as request")
    return decoded


async def read_parts(request: web.Request, limit: int) -> tuple[dict[str, str], dict[str, Upload], int]:
    """Read a multipart body to its end; otherwise no response could be sent.

    Args:
        request: The request.
        limit: How many bytes to keep at most.

    Returns:
        The fields and the files by name, which are incomplete above the limit, and the size of all in bytes.
    """
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    total = 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        chunks = []
        while chunk := await part.read_chunk(256 * 1024):
            total += len(chunk)
            if total <= limit:
                chunks.append(chunk)
        data = b"".join(chunks)
        if part.filename is None:
            fields[part.name] = data.decode("utf-8", "replace")
        else:
            uploads[part.name] = Upload(data, part.filename, part.headers.get("Content-Type"))
    return fields, uploads, total


@functools.cache
def _structured_fields(cls: type[AnyMethod]) -> frozenset[str]:
    """Fields that are lists or objects, which forms carry as JSON text."""
    return frozenset(name for name, info in cls.model_fields.items() if _is_structured(info.annotation))


def _is_structured(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is None:
        return inspect.isclass(annotation) and issubclass(annotation, BaseModel)
    return origin in (list, dict, tuple) or any(map(_is_structured, typing.get_args(annotation)))


def parse_method(cls: type[AnyMethod], params: Json) -> tuple[AnyMethod, Json]:
    """Validate the parameters of a call.

    Args:
        cls: aiogram's class of the method.
        params: The parameters as they came; lists and objects may be JSON texts.

    Returns:
        The method, and the parameters with JSON texts decoded.

    Raises:
        ApiError: 400 with Telegram's description of the first problem.
    """
    structured = _structured_fields(cls)
    decoded = {
        name: _decode_json_field(name, value) if isinstance(value, str) and name in structured else value
        for name, value in params.items()
        if value != "" or name == "text"
    }
    try:
        return cls.model_validate(decoded), decoded
    except ValidationError as error:
        raise bad_request(_describe(error.errors(include_url=False, include_context=False))) from error


def _decode_json_field(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        what = "reply keyboard markup" if name == "reply_markup" else name.replace("_", " ")
        raise bad_request(f"can't parse {what} JSON object") from error


def _describe(problems: list[ErrorDetails]) -> str:
    """Telegram's description of the first problem in a request."""
    first = problems[0]
    name, whole = str(first["loc"][0]) if first["loc"] else "", len(first["loc"]) == 1
    if whole and first["type"] == "missing":
        if name in _MEDIA_FIELDS:
            return f"there is no {name} in the request"
        return _MISSING.get(name, f'parameter "{name}" is required')
    if name == "reply_markup":
        return _describe_markup(problems)
    if whole and name in _ARRAY_ITEM_NAMES:
        return f"expected an Array of {_ARRAY_ITEM_NAMES[name]}"
    where = ".".join(str(part) for part in first["loc"])
    return f"can't parse parameter {where}: {first['msg']}"


def _describe_markup(problems: list[ErrorDetails]) -> str:
    for problem in problems:
        if problem["type"] == "missing" and problem["loc"][-1] == "text":
            return "can't parse inline keyboard button: Can't find field \"text\""
        if problem["type"] in ("list_type", "model_type") and "inline_keyboard" in problem["loc"]:
            return 'field "inline_keyboard" must be an Array of Arrays'
    return "object expected as reply markup"
