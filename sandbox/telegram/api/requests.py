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
_ARRAY_ITEM_NAMES = {"media": "InputMedia", "prices": "labeled prices", "commands": "BotCommand"}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a request."""

    data: bytes
    file_name: str
    content_type: str | None

    def to_json(self) -> Json:
        """Return what the outbox keeps of it: name and size in bytes."""
        return {"file_name": self.file_name, "size": len(self.data)}


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
    kind = request.content_type
    if request.method == "POST" and request.body_exists:
        if kind == "application/json":
            params.update(_json_object(await request.read()))
        elif kind.startswith("multipart/"):
            await _read_parts(request, params, uploads)
        else:
            params.update(
                {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
            )
    return ApiRequest(params, uploads)


def _json_object(body: bytes) -> Json:
    try:
        decoded = json.loads(body or b"{}")
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(decoded, dict):
        raise bad_request("object expected as request")
    return decoded


async def read_part(part: BodyPartReader, limit: int) -> tuple[bytes, int]:
    """Read a part of a multipart body to its end; otherwise no response could be sent.

    Args:
        part: The part.
        limit: How many bytes to keep at most.

    Returns:
        The content, which is incomplete when it exceeds the limit, and its size in bytes.
    """
    chunks, size = [], 0
    while chunk := await part.read_chunk(256 * 1024):
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks), size


async def _read_parts(request: web.Request, params: Json, uploads: dict[str, Upload]) -> None:
    total = 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data, size = await read_part(part, _UPLOAD_LIMIT - total)
        total += size
        if part.filename is None:
            params[part.name] = data.decode("utf-8", "replace")
        else:
            uploads[part.name] = Upload(data, part.filename, part.headers.get("Content-Type"))
            if part.name in _MEDIA_FIELDS:
                params[part.name] = f"attach://{part.name}"
    if total > _UPLOAD_LIMIT:
        raise ApiError(413, "Request Entity Too Large")


@functools.cache
def _structured_fields(cls: type[AnyMethod]) -> frozenset[str]:
    """Fields that are lists or objects, which forms carry as JSON text."""
    return frozenset(name for name, info in cls.model_fields.items() if _is_structured(info.annotation))


def _is_structured(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in (list, dict, tuple):
        return True
    if origin is not None:
        return any(_is_structured(argument) for argument in typing.get_args(annotation))
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


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
    decoded: Json = {}
    for name, value in params.items():
        if value == "" and name != "text":
            continue
        decoded[name] = _decode_json_field(name, value) if isinstance(value, str) and name in structured else value
    try:
        return cls.model_validate(decoded), decoded
    except ValidationError as error:
        raise _to_api_error(error) from error


def _decode_json_field(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        what = "reply keyboard markup" if name == "reply_markup" else name.replace("_", " ")
        raise bad_request(f"can't parse {what} JSON object") from error


def _to_api_error(error: ValidationError) -> ApiError:
    """Telegram's description of the first problem in a request."""
    first = error.errors(include_url=False, include_context=False)[0]
    name, missing = str(first["loc"][0]) if first["loc"] else "", first["type"] == "missing"
    if len(first["loc"]) == 1 and missing:
        if name == "chat_id":
            return bad_request("chat_id is empty")
        if name == "text":
            return bad_request("message text is empty")
        if name in _MEDIA_FIELDS:
            return bad_request(f"there is no {name} in the request")
        return bad_request(f'parameter "{name}" is required')
    if name == "reply_markup":
        return _to_markup_error(error)
    if name in _ARRAY_ITEM_NAMES and len(first["loc"]) == 1:
        return bad_request(f"expected an Array of {_ARRAY_ITEM_NAMES[name]}")
    where = ".".join(str(part) for part in first["loc"])
    return bad_request(f"can't parse parameter {where}: {first['msg']}")


def _to_markup_error(error: ValidationError) -> ApiError:
    for problem in error.errors(include_url=False, include_context=False):
        if problem["type"] == "missing" and problem["loc"][-1] == "text":
            return bad_request("can't parse inline keyboard button: Can't find field \"text\"")
        if problem["type"] in ("list_type", "model_type") and "inline_keyboard" in problem["loc"]:
            return bad_request('field "inline_keyboard" must be an Array of Arrays')
    return bad_request("object expected as reply markup")
