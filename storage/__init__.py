"""All SQL. Modules are named for a noun; functions take the pool or a connection inside a transaction."""
