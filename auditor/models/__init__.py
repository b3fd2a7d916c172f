"""A model file: its graph, its own words, its input contract, its head, and the door to the runtime."""
