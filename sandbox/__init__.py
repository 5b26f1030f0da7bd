"""Local replacements for the outside world, for development and tests only."""
