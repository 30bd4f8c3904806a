"""Long sequences to classify: the Long Range Arena, and diagnostic tasks that small machines can finish."""
