"""Where results are kept: the journal first, MLflow behind it."""
