"""The type of JSON objects, as the Bot API, the control API and the store use them."""

from typing import Any

Json = dict[str, Any]
"""A JSON object, decoded."""
