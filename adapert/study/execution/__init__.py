"""What trials run on: Ray Tune, its processes and their shares of a machine, the trainable."""
