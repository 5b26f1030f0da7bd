"""The Bot API methods that the sandbox carries out; each module registers its own with ``handles``."""
