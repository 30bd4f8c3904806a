"""What each operation is timed against: one file of rows for each operation, named like it."""
