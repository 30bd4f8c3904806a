"""Filters that are sums of exponentials, generated without an array over every exponential and step."""
