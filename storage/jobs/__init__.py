"""Jobs, their journal, the outbox and the bytes their steps produce."""
