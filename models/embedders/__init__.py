"""Models that turn a text into one vector, and the probe that classifies such vectors."""
