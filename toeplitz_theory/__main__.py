"""``python -m toeplitz_theory``: the command line, also for launchers that start a module."""

from toeplitz_theory.cli import main

main()
