"""Truth and predictions to metrics."""
