"""Tasks whose answer lies far back in a long prompt."""
