"""Causal convolution with filters as long as the sequence, and generators of such filters."""
