"""Where the tests' PostgreSQL servers have their files."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_TEMPORARY = Path(tempfile.gettempdir())
_MIN_FREE_BYTES = 2 << 30


def new_server_folder() -> Path:
    """A folder that does not exist yet, and whose parents others may enter: as root the server runs as `nobody`.

    It is in memory where there is room: on a disk each new database is three hundred files to be created.
    """
    in_memory = os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free > _MIN_FREE_BYTES
    return (_SHARED_MEMORY if in_memory else _TEMPORARY) / f"diptych-tests-{secrets.token_hex(6)}"
