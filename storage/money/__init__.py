"""The ledger, payments, refunds, subscriptions and promo codes."""
