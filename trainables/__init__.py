"""One trial, from text to score. Knows torch, transformers and datasets; never Ray or MLflow."""
