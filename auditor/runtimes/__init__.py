"""What runs a model: one folder a runtime, with what it can tell of a file. A new runtime is a new folder here."""
