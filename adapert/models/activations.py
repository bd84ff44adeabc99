"""Activations by the names that configs give them."""

from torch import nn

ACTIVATIONS = {"none": nn.Identity(), "relu": nn.ReLU(), "gelu": nn.GELU(), "tanh": nn.Tanh()}
