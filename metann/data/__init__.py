"""From raw images to prepared ones: one array, splits and labels."""
