"""What to train next: cells, samplers, packs, early stopping, budgets, and replays of all that. No Ray."""
