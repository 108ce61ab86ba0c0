"""How Ray Tune trains it: one run of Tune per study, fed pack by pack."""
