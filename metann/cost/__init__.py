"""What an answer costs: multiply-accumulates, and joules where a meter is."""
