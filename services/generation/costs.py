"""What orders cost us, by the catalogue."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from services.generation.catalogue import MARKUP, MODELS, USD_PER_CREDIT
from services.generation.choices import selected_model


def is_in_catalogue(service: str) -> bool:
    return service in MODELS


def order_cost_usd(service: str, values: Mapping[str, Any], *, price: int) -> Decimal:
    """US dollars for one made order with these inputs, of which `stars` is the price.

    A service whose models are not in models.toml (a voice, words of a photo) has no cost there: it is taken to
    have been priced by the rule that the catalogue prices by.
    """
    if not is_in_catalogue(service):
        return price * USD_PER_CREDIT / MARKUP
    model = selected_model(MODELS[service], values)
    amounts = {"result": values.get("count"), "second": values.get("seconds"), "step": values.get("steps")}
    return model.usd * int(amounts[model.per] or 1)
