"""`python -m sandbox.postgres`: the supervisor; see supervisor.py."""

import os

from sandbox.postgres.supervisor import main

os._exit(main())  # all that it holds is let go at once: the folder's lock, and the last user's connection
