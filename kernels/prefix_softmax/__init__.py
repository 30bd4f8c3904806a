"""Softmax-weighted mean of every prefix, as a recurrence."""
