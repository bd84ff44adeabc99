"""The eight hyperparameters of PerturbedVAE (own construction): latents, loss, size, optimiser."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

SPACE: dict[str, BaseDistribution] = {
    "perturbed_vae.invariant_size": CategoricalDistribution((16, 32, 64)),
    "perturbed_vae.specific_size": CategoricalDistribution((8, 16, 32, 64)),
    "perturbed_vae.beta": FloatDistribution(1e-2, 2.0, log=True),
    "perturbed_vae.lambda_sparsity": FloatDistribution(1e-2, 10.0, log=True),
    "perturbed_vae.mask_prior": CategoricalDistribution((0.02, 0.1, 0.3)),
    "perturbed_vae.lambda_align": FloatDistribution(1e-2, 10.0, log=True),
    "perturbed_vae.hidden_size": CategoricalDistribution((128, 256, 512)),
    "training.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
}
