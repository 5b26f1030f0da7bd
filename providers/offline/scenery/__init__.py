"""The parts of a procedural landscape: words, palettes, sky, land, water, trees, towns."""
