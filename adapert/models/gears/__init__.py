"""GEARS (Roohani et al., Nature Biotechnology 2024), own version: a gene's state meets a perturbation's."""
