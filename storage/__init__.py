"""All SQL. Modules are named after a noun; functions take the pool, or a connection inside a transaction."""
