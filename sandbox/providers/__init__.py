"""Stand-ins for the providers, for a machine without keys: real media, made here, and saying so.

They need numpy and av, which requirements-sandbox.txt adds: only a process that runs offline imports them.
"""
