"""What must be shown of the sequence models: one script a claim, each printing what came out beside what was wanted."""
