"""The search: what to run, when to stop, where it is logged. Knows Ray, Optuna and MLflow."""
