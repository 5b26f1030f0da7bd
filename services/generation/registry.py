"""All services: every module of this folder that has a SPEC. A new service is a new file, nothing else."""

import pkgutil
from importlib import import_module

import services.generation as folder
from services.generation.spec import ServiceSpec


def find_services() -> dict[str, ServiceSpec]:
    """The specs by service id, in the order of the menu."""
    modules = [import_module(f"{folder.__name__}.{found.name}") for found in pkgutil.iter_modules(folder.__path__)]
    specs = [spec for module in modules if isinstance(spec := getattr(module, "SPEC", None), ServiceSpec)]
    return {spec.id: spec for spec in sorted(specs, key=lambda spec: (spec.menu_position, spec.id))}


SERVICES = find_services()
