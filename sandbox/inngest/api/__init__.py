"""The HTTP side: event API, REST API, registration of apps and the status page."""
