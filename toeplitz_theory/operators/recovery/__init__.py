"""How much of its input a layer gives back, and how many tokens later; and what one output remembers."""
