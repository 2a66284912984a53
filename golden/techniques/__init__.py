"""Training shortcuts of the literature, one policy each, and their null controls."""
