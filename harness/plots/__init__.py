"""Pictures of a leaderboard as SVG: text stays text, the same records give the same bytes, on light and dark pages."""
