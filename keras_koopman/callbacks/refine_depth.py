"""`RefineDepth`: trains a model while it grows deeper."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import keras

from .. import _checks
from ..layers.change import blocks_of
from ..layers.refine import refine


class RefineDepth(keras.callbacks.Callback):
    """Refines the blocks of a model at the start of given epochs of `fit`, as `kk.layers.refine` does.

    Training begins with few nodes and steps, which are cheap, and goes on with more of them from where it
    stands. The learning rate and its schedule, the count of steps, the optimizer's slots and pruning masks
    go on as they were. Each refinement costs one compilation of the step.

    What keeps copies of the weights from before does not fit those from after: no
    `EarlyStopping(restore_best_weights=True)` across a refinement, and a recorder of trajectories stops there
    with a warning.

    Args:
        refinements: Epoch, counted from 0 as in `fit` -> factor, at least 2.
        steps: `"scale"` multiplies the steps by the factor too; `"keep"` leaves them, and the function is the
            same to rounding. Defaults to `"scale"`.
        slots: `"carry"` or `"reset"` the optimizer's slots. Defaults to `"carry"`.
        verbose: 1 prints a line at each refinement. Defaults to 0.

    Attributes:
        refined: Epochs in which the blocks were refined in the last fit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range; before the first step, if the model has no blocks.

    Reference:
        Alejandro F. Queiruga, N. Benjamin Erichson, Dane Taylor and Michael W. Mahoney (2020),
        "Continuous-in-depth neural networks".

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> block = kk.layers.ContinuousBlock(kk.layers.DenseRate(), steps=1, scheme="euler")
    >>> model = keras.Sequential([keras.Input((3,)), block, keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> refine = kk.callbacks.RefineDepth({1: 2, 2: 2})
    >>> history = model.fit(np.ones((8, 3)), np.ones((8, 1)), epochs=3, verbose=0, callbacks=[refine])
    >>> block.nodes, block.steps, refine.refined
    (4, 4, [1, 2])
    """

    def __init__(
        self,
        refinements: Mapping[int, int],
        steps: Literal["scale", "keep"] = "scale",
        slots: Literal["carry", "reset"] = "carry",
        verbose: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(refinements, Mapping):
            raise TypeError(
                f"refinements must be a dict, epoch -> factor, got {refinements!r} of type "
                f"{type(refinements).__name__}."
            )
        self.refinements = {
            _checks.whole_number("epoch", epoch, least=0): _checks.whole_number("factor", factor, least=2)
            for epoch, factor in refinements.items()
        }
        if not self.refinements:
            raise ValueError("refinements is empty: give an epoch and a factor, like {10: 2}.")
        self.steps = _checks.one_of("steps", steps, ("scale", "keep"))
        self.slots: Any = _checks.one_of("slots", slots, ("carry", "reset"))
        self.verbose = verbose
        self.refined: list[int] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the model and the length of the run."""
        blocks_of(self.model)
        self.refined = []
        epochs = (self.params or {}).get("epochs")
        late = [epoch for epoch in self.refinements if epochs is not None and epoch >= epochs]
        if late:
            warnings.warn(
                f"{type(self).__name__}: the run has {epochs} epochs, counted from 0, and never comes to "
                f"epoch {', '.join(map(str, late))}.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Refine, if it is time. Between two epochs no engine holds values apart from the variables."""
        factor = self.refinements.get(epoch)
        if factor is None:
            return
        model = self.model
        refine(model, factor, "scale" if self.steps == "scale" else None, self.slots)
        model.make_train_function(force=True)
        self.refined.append(epoch)
        if self.verbose:
            depths = ", ".join(f"{b.name}: {b.nodes} nodes, {b.steps} steps" for b in blocks_of(model))
            print(f"{type(self).__name__}: epoch {epoch + 1}, {depths}.")
