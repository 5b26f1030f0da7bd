"""Finds all services: the modules of this package that define a SPEC."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import services.generation as package
from services.generation.catalogue import MODELS, CatalogueError
from services.generation.spec import ServiceSpec


def find_services(models: Mapping[str, Any] = MODELS) -> dict[str, ServiceSpec]:
    """Find the services.

    Args:
        models: The models of the catalogue, by service.

    Returns:
        The specs by service id, in the order of the menu.

    Raises:
        CatalogueError: The catalogue has models for a service that does not exist.
    """
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [import_module(f"{package.__name__}.{name}") for name in names]
    specs = [spec for module in modules if isinstance(spec := getattr(module, "SPEC", None), ServiceSpec)]
    found = {spec.id: spec for spec in sorted(specs, key=lambda spec: (spec.menu_position, spec.id))}
    if unknown := models.keys() - found.keys():
        raise CatalogueError(f"models.toml: no such service: {', '.join(sorted(unknown))}")
    return found


SERVICES: Final = find_services()
"""The specs by service id, in the order of the menu."""
