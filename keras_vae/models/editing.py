"""`edit`: data as it would be with other attributes."""

from typing import Any

import numpy as np

from keras_vae import _checks
from keras_vae._types import Array, Condition

KEPT = ("decoded", "picture")


class Editing:
    """Method of `Inference` that changes attributes."""

    def edit(
        self,
        x: Array,
        condition: Condition = None,
        batch_size: int = 256,
        *,
        strength: float = 1.0,
        keep: str = "decoded",
        **changes: Any,
    ) -> Array:
        """x as it would be with other attributes.

        Encodes x with its own condition y and decodes with y + strength · (y' - y), where y'
        has the changes. Where the prior is a conditional flow, the code is carried from y to y'
        too (`transport`), by the prior's `transport_guidance` times `strength`, and the decoder
        is told y' where `strength` is more than 1. An unconditional model that knows the
        directions of attributes moves the code along them instead: 1 adds an attribute, -1 takes
        it away, times `strength`.

        Args:
            x: data `(n, ...)`.
            condition: the attributes of x, `(n, c)`; None for an
                unconditional model.
            batch_size: rows per compiled call.
            strength: factor of the change, at least 0: 0 changes nothing, 1 goes to the
                attributes that are asked for, more goes beyond them.
            keep: "decoded" gives what the decoder makes of the changed attributes. "picture"
                keeps x and adds the change to it, x + decode(z, y') - decode(z, y), limited to
                the range of the data: what the model cannot reconstruct stays as it was, and
                so does what it does not see. Missing values of x are decoded.
            **changes: attribute name = a number, or one per example;
                the other attributes do not change.

        Returns:
            `(n, ...)` float32.

        Raises:
            ValueError: the model has no attributes or none of that name; the
                values are neither one number nor one per example; a strength that is negative
                or not finite; an unknown `keep`.
        """
        if keep not in KEPT:
            raise ValueError(f"`keep` must be one of {KEPT}. Received: keep={keep!r}")
        if isinstance(strength, bool) or not isinstance(strength, (int, float, np.number)):
            raise ValueError(
                "`strength` must be one number for all examples and attributes: it scales the "
                "change, and the values of attributes may differ by example. "
                f"Received: strength={_checks.shown(strength)}"
            )
        strength = _checks.at_least_0("strength", strength)
        x, attributes = self._checked(x, condition)
        named = self.directions if attributes is None else self.condition
        if named is None or (attributes is not None and attributes.ndim != 2):
            raise ValueError(
                "This model has no named attributes to edit. To decode with "
                "another label: decode(encode(x, condition=y), condition=y_new). "
                f"Received: changes={sorted(changes)}"
            )
        z = self.encode(x, attributes, batch_size)
        moved, asked = z, None if attributes is None else attributes.copy()
        for name, value in changes.items():
            value = _checks.value(name, value, len(x))
            if asked is None:
                step = strength * np.reshape(value, (-1,) + (1,) * (z.ndim - 1))
                moved = moved + step * self.directions.vector(name)
            else:
                asked[:, self.condition.index(name)] = value
        told = asked
        if asked is not None:
            moved, told = self._led(z, attributes, asked, strength, batch_size)
        edited = self.decode(moved, told, batch_size)
        if keep == "decoded":
            return edited
        added = x + (edited - self.decode(z, attributes, batch_size))
        if self.likelihood.data_range is not None:
            added = np.clip(added, *self.likelihood.data_range)
        return np.where(np.isnan(x), edited, added).astype("float32")

    def _led(self, z: Array, own: Array, asked: Array, strength: float, batch_size: int) -> Any:
        """Codes and what the decoder is told, on the way from attributes to those asked for."""
        if self.can_transport:
            rows = (own != asked).any(axis=1)
            if strength and rows.any():
                guidance = strength * self.prior.transport_guidance
                z = z.copy()
                z[rows] = self.transport(
                    z[rows], own[rows], asked[rows], guidance=guidance, batch_size=batch_size
                )
            # A decoder has seen no more than attributes that are there: the code alone goes on.
            strength = min(strength, 1.0)
        # At 1 exactly what is asked, without rounding.
        return z, asked if strength == 1.0 else own + strength * (asked - own)
