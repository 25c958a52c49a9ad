"""Matrix-valued symbols: heads with projections, and the residual connection around them."""
