"""Tasks that classify time series from a few labelled cases a class."""
