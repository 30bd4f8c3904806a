"""Summarisers that repeat sentences of the source."""
