"""Models set by hand, whose answer is known, and the check that the whole line of measurements finds it."""
