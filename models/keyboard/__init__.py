"""Models of a phone keyboard, from no correction at all to a trained corrector."""
