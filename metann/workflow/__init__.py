"""What the rules need: the machine's GPUs, and what made a file."""
