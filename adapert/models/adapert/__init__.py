"""AdaPert: perturbation-conditioned contexts on a gene graph (section 3 of the AdaPert paper)."""
