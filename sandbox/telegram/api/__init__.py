"""The Bot API over HTTP: requests, methods, responses and webhook delivery."""
