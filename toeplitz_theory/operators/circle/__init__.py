"""Symbols on the unit circle: winding numbers, zeros, moduli and means of log, each with its proof."""
