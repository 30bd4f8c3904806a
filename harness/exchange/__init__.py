"""Other programs' result formats, one a file: ours written as theirs, and lm-eval's read as ours."""
