"""Usage of the codebook of models with integer codes."""

from dataclasses import dataclass

import numpy as np

from keras_vae._types import Array


@dataclass(frozen=True)
class CodebookUsage:
    """Result of `codebook_usage`.

    Attributes:
        counts: how often each code occurs, `(num_codes,)`.
        used: share of the codes that occur at all, from 0 to 1.
        perplexity: exp(entropy) of the frequencies: the number of equally frequent codes
            with the same entropy.
    """

    counts: np.ndarray
    used: float
    perplexity: float

    def __str__(self):
        return (
            f"{100 * self.used:.1f} % of {len(self.counts)} codes are used, "
            f"perplexity {self.perplexity:.1f}"
        )


def codebook_usage(codes: Array, num_codes: int) -> CodebookUsage:
    """How many codes of a codebook occur in the data, and how evenly.

    Args:
        codes: integers of any shape, such as `model.encode(x)`.
        num_codes: size of the codebook, `model.num_codes`.

    Returns:
        `CodebookUsage`.

    Raises:
        TypeError: codes that are not integers.
        ValueError: no codes, or codes outside the codebook.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"`codes` must be integers. Received: dtype {codes.dtype}")
    if codes.size == 0 or codes.min() < 0 or codes.max() >= num_codes:
        received = f"codes from {codes.min()} to {codes.max()}" if codes.size else "no codes"
        raise ValueError(f"`codes` must be from 0 to {num_codes - 1}. Received: {received}")
    counts = np.bincount(codes.ravel(), minlength=num_codes)
    share = counts[counts > 0] / codes.size
    return CodebookUsage(
        counts=counts,
        used=float((counts > 0).mean()),
        perplexity=float(np.exp(-(share * np.log(share)).sum())),
    )
