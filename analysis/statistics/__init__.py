"""Estimates, paired effects and shares of variance, each with its interval: frames in, frames out."""
