"""CPA (Lotfollahi et al. 2023), own compact version: latents that hide the perturbation, and its effect."""
