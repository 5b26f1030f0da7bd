"""The one Inngest client of this process."""

import logging
from typing import Final

import inngest

from inngest_functions.settings import InngestSettings, export_fallback_key, get_inngest_urls

APP_ID: Final = "diptych"


def create_client(settings: InngestSettings | None = None) -> inngest.Inngest:
    """Create a client for the configured Inngest, by default the dev server.

    Args:
        settings: Inngest's settings; read from the environment by default.
    """
    settings = settings or InngestSettings()
    urls = get_inngest_urls(settings)
    export_fallback_key(settings)
    return inngest.Inngest(
        app_id=APP_ID,
        api_base_url=urls.api,
        event_api_base_url=urls.events,
        event_key=settings.inngest_event_key.get_secret_value() or None,
        signing_key=settings.inngest_signing_key.get_secret_value() or None,
        is_production=settings.production,
        logger=logging.getLogger("inngest"),
    )
