"""What a study will be, and what it will cost."""
