"""An embedded PostgreSQL for development and tests, which stops with the last process that uses it.

A process uses `client`, which starts the `supervisor`, a small process that owns the `server`. This file imports
nothing: the supervisor must start fast.
"""
