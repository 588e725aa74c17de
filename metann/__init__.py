"""metann: networks that decide, image by image, how much of themselves to run."""

__version__ = "0.1.0"
