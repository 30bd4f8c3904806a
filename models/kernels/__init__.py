"""The paths of the kernels as contestants: each answers how long an operation takes on it."""
