"""`adapert doctor`: what a study needs, and the cure for what is wrong."""
