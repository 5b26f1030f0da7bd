"""A PostgreSQL of our own for development and tests, which stops with the last process that uses it.

`client` is what a process uses. It starts the `supervisor`, a small process of its own, which owns the `server`.
This file stays empty: the supervisor imports it, and must start fast.
"""
