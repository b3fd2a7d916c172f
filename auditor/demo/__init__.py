"""The embedded example: scenes drawn from a seed, and a detector that this project trained on other such scenes."""
