"""Inner-outer factorisation of symbols: minimum-phase kernels, Blaschke zeros and energy delay."""
