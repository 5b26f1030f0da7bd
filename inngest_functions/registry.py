"""The one list of the functions that are served. One that is missing here makes its events vanish."""

import inngest

from inngest_functions.generation import Function, create_generation_function
from services.generation.registry import SERVICES
from services.studio import Studio


def create_functions(client: inngest.Inngest, studio: Studio) -> list[Function]:
    return [create_generation_function(client, studio, spec) for spec in SERVICES.values()]
