"""A first `audit.yaml` for a model and a data folder."""
