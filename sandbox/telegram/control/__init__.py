"""The control API, by which tests and the chat page act for users and look into the server."""
