"""Shares of a response's variance that fields cause alone and in pairs: a sparse Bayesian functional ANOVA.

The response at settings u of d fields is split into parts of mean 0 that do not overlap (Sobol 1993):

    y = mean + sum_j f_j(u_j) + sum_{j<k} f_jk(u_j, u_k) + rest,    V = sum_j V_j + sum_{j<k} V_jk + V_rest

Each part is a polynomial in an orthonormal basis, so that its variance is the sum of its squared
coefficients (Sudret 2008). A part is absent, or its coefficients have a variance that falls with the degree
and whose size is one of a grid (a group spike and slab). Gibbs sampling gives draws of all variances at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from adapert.statistics.two_level import FloatArray

MAX_DEGREE = 8
"""Degree of a field's own polynomial: enough for a threshold anywhere in the range."""

MAX_PAIR_DEGREE, MAX_PAIR_PRODUCT = 4, 8
"""Degrees i and j of a pair's terms: each at most the first, i * j at most the second."""

N_SWEEPS, N_BURNED = 1000, 200

# Prior sizes of a part that is present, as a share of the response's variance; evenly spaced logarithms.
_SIZES = np.geomspace(0.003, 1.0, 12)
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class Part:
    """One field's effect, or what two fields do together beyond the sum of their effects.

    Attributes:
        fields: One or two columns of the settings.
        features: Orthogonal columns that span the part's polynomials, (n_trials, n_terms).
        lengths: Squared length of each column, (n_terms,).
        to_terms: Coefficients of the columns to those of the orthonormal basis, (n_terms, n_terms).
    """

    fields: tuple[int, ...]
    features: FloatArray
    lengths: FloatArray
    to_terms: FloatArray


def build_parts(positions: FloatArray, is_ordered: Sequence[bool]) -> list[Part]:
    """Build the effects of all fields, then of all pairs.

    Args:
        positions: Settings between 0 and 1, in which trials lie evenly, (n_trials, n_fields).
        is_ordered: Whether close values of a field act alike; False for words.
    """
    bases = [orthonormal_basis(column) for column in positions.T]
    weights = [
        1.0 / np.arange(1, basis.shape[1] + 1) ** 2 if ordered else np.ones(basis.shape[1])
        for basis, ordered in zip(bases, is_ordered, strict=True)
    ]
    own = [_build_part((j,), bases[j], weights[j]) for j in range(len(bases))]
    pairs = [_build_pair((j, k), bases, weights) for j, k in combinations(range(len(bases)), 2)]
    return own + pairs


def orthonormal_basis(positions: FloatArray) -> FloatArray:
    """Build polynomials of degree 1, 2, ... with mean 0, variance 1 and no correlation over the trials.

    Args:
        positions: Settings of one field, between 0 and 1, (n_trials,).

    Returns:
        (n_trials, n_terms), at most `MAX_DEGREE` terms and one less than there are values.
    """
    degree = min(MAX_DEGREE, len(np.unique(positions)) - 1)
    values = np.polynomial.legendre.legvander(2 * positions - 1, degree)
    columns, _ = np.linalg.qr(values)
    return np.asarray(columns[:, 1:] * np.sqrt(len(positions)), dtype=np.float64)


def sample_variances(
    parts: Sequence[Part], response: FloatArray, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw the variances of all parts, and of the rest, from their posterior.

    Args:
        parts: From `build_parts`.
        response: Response of each trial, not constant, (n_trials,).
        generator: Makes the draws.

    Returns:
        Variances of the parts in units of the response's, (n_draws, n_parts), 0 where a part is absent; and
        of the rest (noise and what more than two fields do together), (n_draws,).
    """
    sampler = _Gibbs(parts, (response - response.mean()) / response.std(), generator)
    for _ in range(N_BURNED):
        sampler.sweep()
    variances, noises = np.zeros((N_SWEEPS, len(parts))), np.zeros(N_SWEEPS)
    for draw in range(N_SWEEPS):
        sampler.sweep()
        variances[draw], noises[draw] = sampler.variances(), sampler.noise
    return variances, noises


class _Gibbs:
    """The state of the chain: coefficients of all parts, how common parts are, and the noise.

    Attributes:
        noise: Variance of the rest.
    """

    def __init__(self, parts: Sequence[Part], response: FloatArray, generator: np.random.Generator) -> None:
        features = np.concatenate([part.features for part in parts], axis=1)
        self._parts, self._generator, self._n_trials = parts, generator, len(response)
        self._starts = np.cumsum([0, *(len(part.lengths) for part in parts)])
        self._lengths = np.concatenate([part.lengths for part in parts])
        self._is_pair = np.array([len(part.fields) > 1 for part in parts])
        self._gram, self._sum_squares = features.T @ features, float(response @ response)
        self._with_response = features.T @ response
        self._with_residual = self._with_response.copy()
        self._coefficients = np.zeros(len(self._lengths))
        self._is_present = np.zeros(len(parts), dtype=bool)
        self._common = np.array([0.5, 0.5])
        self.noise = 0.5

    def sweep(self) -> None:
        """Draw each part given all others, then how common parts are, then the noise.

        With orthogonal features a part's coefficients integrate out: a size s has, relative to absence, the
        likelihood prod_k (1 + s l_k / v)^(-1/2) exp(s q_k^2 / (2 v (v + s l_k))), where l = squared lengths,
        q = features' residual without the part, and v = noise.
        """
        shrunk = self.noise + _SIZES[:, None] * self._lengths  # (n_sizes, n_features)
        widths = np.add.reduceat(np.log(self.noise / shrunk), self._starts[:-1], axis=1) / 2
        gains = _SIZES[:, None] / (2 * self.noise * shrunk)
        odds = np.log(self._common / (1 - self._common) / len(_SIZES))
        for index in range(len(self._parts)):
            own = slice(self._starts[index], self._starts[index + 1])
            products = self._with_residual[own] + self._lengths[own] * self._coefficients[own]
            scores = odds[int(self._is_pair[index])] + widths[:, index] + gains[:, own] @ products**2
            chosen = self._choose(scores)
            self._move(
                index, own, products, None if chosen is None else (_SIZES[chosen], shrunk[chosen, own])
            )
        self._draw_common()
        self._draw_noise()

    def variances(self) -> FloatArray:
        """Compute each part's variance: the squared length of its coefficients in the orthonormal basis."""
        found = np.zeros(len(self._parts))
        for index in np.flatnonzero(self._is_present).tolist():
            own = slice(self._starts[index], self._starts[index + 1])
            terms = self._parts[index].to_terms @ self._coefficients[own]
            found[index] = terms @ terms
        return found

    def _choose(self, scores: FloatArray) -> int | None:
        """Draw a size from log odds against absence, whose score is 0; None is absence."""
        top = max(0.0, float(scores.max()))
        chances = np.cumsum(np.exp(scores - top))
        drawn = self._generator.random() * (chances[-1] + np.exp(-top))
        return int(np.searchsorted(chances, drawn)) if drawn < chances[-1] else None

    def _move(
        self, index: int, own: slice, products: FloatArray, present: tuple[float, FloatArray] | None
    ) -> None:
        """Give a part new coefficients, and all products with the residual what follows from them."""
        if present is None and not self._is_present[index]:
            return
        drawn = np.zeros(len(products))
        if present is not None:
            size, shrunk = present
            spread = np.sqrt(size * self.noise / shrunk)
            drawn = size * products / shrunk + spread * self._generator.standard_normal(len(products))
        self._with_residual -= self._gram[:, own] @ (drawn - self._coefficients[own])
        self._coefficients[own] = drawn
        self._is_present[index] = present is not None

    def _draw_common(self) -> None:
        """Draw how common parts are, fields and pairs apart, from uniform priors."""
        for kind, members in enumerate((self._is_present[~self._is_pair], self._is_present[self._is_pair])):
            share = self._generator.beta(1 + members.sum(), 1 + (~members).sum())
            # At 0 or 1 the log odds would be infinite, and the chain could not move any more.
            self._common[kind] = np.clip(share, 1e-6, 1 - 1e-6)

    def _draw_noise(self) -> None:
        explained = self._coefficients @ (self._with_response + self._with_residual)
        scale = max(0.0, self._sum_squares - float(explained)) / 2 + _LEAST_NOISE
        # The inverse gamma distribution is conjugate to a normal variance.
        self.noise = scale / float(self._generator.gamma((self._n_trials - 1) / 2))


def _build_pair(fields: tuple[int, int], bases: list[FloatArray], weights: list[FloatArray]) -> Part:
    first, second = (bases[field] for field in fields)
    chosen = [
        (i, j)
        for i in range(min(first.shape[1], MAX_PAIR_DEGREE))
        for j in range(min(second.shape[1], MAX_PAIR_DEGREE))
        if (i + 1) * (j + 1) <= MAX_PAIR_PRODUCT
    ]
    columns = np.stack([first[:, i] * second[:, j] for i, j in chosen], axis=1)
    return _build_part(
        fields, columns, np.array([weights[fields[0]][i] * weights[fields[1]][j] for i, j in chosen])
    )


def _build_part(fields: tuple[int, ...], columns: FloatArray, weights: FloatArray) -> Part:
    """Turn prior variances into columns of equal prior variance, and those into orthogonal ones."""
    scales = np.sqrt(weights / weights.sum())
    scaled = (columns - columns.mean(axis=0)) * scales
    # Orthogonal columns let a part's coefficients be drawn independently of each other.
    _, singular, rotation = np.linalg.svd(scaled, full_matrices=False)
    return Part(fields, scaled @ rotation.T, singular**2, scales[:, None] * rotation.T)
