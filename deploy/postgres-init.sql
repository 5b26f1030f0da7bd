-- Runs once, when the volume is empty: Inngest keeps its apps, events and history in its own database.
CREATE DATABASE inngest;
