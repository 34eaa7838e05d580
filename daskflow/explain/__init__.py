"""Explanations: which columns a model rests on, and how its answer moves with them."""
