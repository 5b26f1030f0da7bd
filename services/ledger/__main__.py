"""`python -m services.ledger check`: prove the ledger by hand."""

from services.ledger.proof import main

raise SystemExit(main())
