"""One module per command of the command line; each has NAME, EXAMPLE and the function ``command``."""
