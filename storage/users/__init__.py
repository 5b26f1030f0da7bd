"""Users, their preferences, referrals and assets."""
