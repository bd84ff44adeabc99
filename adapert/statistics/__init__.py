"""Estimates, paired effects, bootstrap, shares of importance: numpy, scipy and pandas alone."""
