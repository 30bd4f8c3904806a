"""The verbs of the command line: one file a verb, its path is its name, its docstring's first line is its help."""
