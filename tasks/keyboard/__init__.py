"""Tasks of a phone keyboard: correct what was typed, complete what is being typed."""
