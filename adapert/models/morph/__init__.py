"""MORPH (He et al. 2025), own compact version: latents of cell and perturbation, attention over programs."""
