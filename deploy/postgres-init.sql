-- Run once, when the volume is empty: Inngest keeps its apps, events and history in a database of its own.
CREATE DATABASE inngest;
