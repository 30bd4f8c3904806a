"""Models that learn to tell classes of time series apart from a few cases."""
