"""Weight files: written here, published elsewhere, and the end of a network that is fine-tuned."""
