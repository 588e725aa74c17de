"""A device, a started torch, pixels made ready, and the one inference loop."""
