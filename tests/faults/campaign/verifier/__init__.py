"""The independent verifier of the fault campaign: other code than the product's, another way to the same numbers."""
