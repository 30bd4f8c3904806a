"""What to ask and how to grade: one registered task a file, torch-free."""
