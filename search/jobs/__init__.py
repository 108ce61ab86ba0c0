"""How a study reaches a cluster."""
