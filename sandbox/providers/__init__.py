"""Stand-ins for the AI providers, for a machine without keys: real media, made here, and saying so."""
