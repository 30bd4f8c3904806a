"""One metric a file; the file name is the metric's registered name."""
