"""`python -m sandbox.postgres`: the supervisor; see supervisor.py."""

import os

from sandbox.postgres.supervisor import main

os._exit(main())  # frees the folder's lock and the last user's connection at once
