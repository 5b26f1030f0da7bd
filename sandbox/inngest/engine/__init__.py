"""The engine: events start runs, and runs call functions step by step."""
