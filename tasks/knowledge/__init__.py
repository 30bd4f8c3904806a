"""Questions about the world with the right answer among a few."""
