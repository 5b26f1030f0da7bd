"""All services: every module of this package that has a SPEC. A new service is a new file and its texts."""

import pkgutil
from importlib import import_module
from typing import Final

import services.generation as package
from services.generation.spec import ServiceSpec


def _find_services() -> dict[str, ServiceSpec]:
    """The specs by service id, in the order of the menu."""
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [import_module(f"{package.__name__}.{name}") for name in names]
    specs = [spec for module in modules if isinstance(spec := getattr(module, "SPEC", None), ServiceSpec)]
    return {spec.id: spec for spec in sorted(specs, key=lambda spec: (spec.menu_position, spec.id))}


SERVICES: Final = _find_services()
"""The specs by service id, in the order of the menu."""
