"""Matrix elimination in many bits: what float64 cannot hold of the smallest singular values."""
