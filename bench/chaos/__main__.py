"""`python -m bench.chaos`."""

from bench.chaos.experiment import main

raise SystemExit(main())
