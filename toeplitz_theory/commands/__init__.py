"""One module per command of the command line: a function of the same name, whose docstring is its help."""
