"""The epoch loop, what is trained by it, and what that is made of."""
