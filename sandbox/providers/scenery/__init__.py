"""The parts of a procedural landscape: themes, palettes, sky, land, water, trees, towns."""
