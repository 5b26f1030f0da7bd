"""The Connect gateway, over which workers take calls through a WebSocket instead of HTTP."""
