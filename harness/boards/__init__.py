"""From published records to leaderboards: markdown, a static page and plots, all pure functions of the records."""
