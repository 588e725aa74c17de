"""`python -m metann`."""

from metann.cli import main

main()
