"""Jobs, their journals, the outbox and blobs."""
