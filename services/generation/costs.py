"""What orders cost us, by the catalogue."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.generation.catalogue import MARKUP, MODELS, USD_PER_STAR
from services.generation.choices import chosen_model


def in_catalogue(service: str) -> bool:
    return service in MODELS


def cost_of(service: str, values: Mapping[str, Any], *, stars: int) -> Decimal:
    """US dollars for one made order with these inputs, of which `stars` is the price.

    A service whose models are not in models.toml (a voice, words of a photo) has no cost there: it is taken to
    have been priced by the rule that the catalogue prices by.
    """
    if not in_catalogue(service):
        return stars * USD_PER_STAR / MARKUP
    model = chosen_model(MODELS[service], values)
    amounts = {"result": values.get("count"), "second": values.get("seconds"), "step": values.get("steps")}
    return model.usd * int(amounts[model.per] or 1)
