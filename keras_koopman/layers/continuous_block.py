"""`ContinuousBlock`: a block of a network whose depth is a time, and so can be changed."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from .. import _checks
from .adaptive import integrate_adaptively
from .basis import Basis, default_nodes
from .field import Field
from .finite import checked
from .integrate import integrate
from .moving import Grid, Statistics
from .prototype import Prototype, built_copy, moving
from .stages import Stage, describe, plan_of, unused_nodes
from .tableau import NAMED, Tableau, tableau_of


@keras.saving.register_keras_serializable("keras_koopman")
class ContinuousBlock(keras.layers.Layer):
    """Solves `dh/dt = R(theta(t), h)` from t = 0 to `horizon`, with the input as start; gives the end.

    The weights are functions of time, `theta(t) = sum_a phi_a(t) theta_a`: each node a has a copy of all
    weights of the rate R. With `scheme="euler"`, `basis="constant"`, one node for each step and
    `horizon=steps` it is the residual network `h + R_n(h)`. What a residual network cannot do: take another
    number of steps or another scheme after training, begin with few nodes and refine them
    (`kk.layers.refine`), or be cut down without data (`kk.layers.project`).

    Moving statistics, like those of batch normalisation, belong to the stages of the steps, as each sees
    states of its own; another method or basis takes them over by time. Regularisers and constraints act on
    the nodes. A loss that the rate adds counts once in each step.

    Args:
        rate: Layer or small model whose output has the shape of its input, like those of `kk.layers` or a
            `keras.Sequential`. It is copied for each node; the object itself is not used.
        steps: Number of steps. Defaults to 4.
        nodes: Number of nodes. Defaults to None: as many as give one cell to each step, which is `steps` for
            `"constant"`, `2 * steps` for `"linear"`, else `steps + 1`.
        scheme: `"euler"`, `"midpoint"`, `"heun"`, `"rk4"`, `"rk38"` or a `kk.layers.Tableau`; with
            `"dopri5"`, or any tableau with `b_low`, tolerances choose the steps: for inference only.
            Defaults to `"rk4"`.
        basis: `"constant"` between nodes; `"fem"`, linear and continuous; `"linear"`, linear and
            discontinuous, two nodes in each cell; `"polynomial"` of degree `nodes - 1`. Defaults to
            `"constant"`.
        horizon: Time at the end. Defaults to 1.
        memory: `"full"` keeps all that backpropagation needs; `"checkpoint"` keeps the states between steps
            and computes the stages of a step again, which pays with several stages or a large rate; not on
            JAX on CPU, where XLA undoes it. Defaults to `"full"`.
        rtol: Relative tolerance of an adaptive scheme. Defaults to 1e-4.
        atol: Absolute tolerance of an adaptive scheme. Defaults to 1e-6.
        check_finite: Whether to raise an error that names step and stage where the rate ceases to be finite;
            slow, and on TensorFlow not seen under XLA, which `jit_compile="auto"` leaves out for it. Defaults
            to False.
        **kwargs: Of `keras.layers.Layer`, like `name` and `dtype`.

    Attributes:
        rates: The copies of the rate, one for each node; empty until built.
        statistics: Moving statistics of the stages beyond the first one at each node, whose own are with the
            node; empty until built.

    Raises:
        TypeError: If an argument has the wrong type, or the rate cannot be copied.
        ValueError: If an argument is out of range; when built, if the rate changes the shape or has no
            weights; in training, if the scheme is adaptive.

    Reference:
        Alejandro F. Queiruga, N. Benjamin Erichson, Dane Taylor and Michael W. Mahoney (2020),
        "Continuous-in-depth neural networks".

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> decay = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(-1.0))
    >>> block = kk.layers.ContinuousBlock(decay, steps=4)
    >>> float(block(np.ones((1, 1)))[0, 0])  # exp(-1) = 0.36788
    0.3679
    """

    def __init__(
        self,
        rate: keras.layers.Layer,
        steps: int = 4,
        nodes: int | None = None,
        scheme: str | Tableau = "rk4",
        basis: Literal["constant", "fem", "linear", "polynomial"] = "constant",
        horizon: float = 1.0,
        memory: Literal["full", "checkpoint"] = "full",
        rtol: float = 1e-4,
        atol: float = 1e-6,
        check_finite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._prototype = Prototype(rate)
        self._steps = _checks.whole_number("steps", steps, least=1)
        self._tableau = tableau_of(scheme)
        self._basis = Basis(basis, default_nodes(basis, self._steps) if nodes is None else nodes)
        self._grid = Grid.of(self._tableau, self._steps, self._basis)
        self.horizon = _checks.real_number("horizon", horizon, 0.0, math.inf)
        self.memory = _checks.one_of("memory", memory, ("full", "checkpoint"))
        self.rtol = _checks.real_number("rtol", rtol, 0.0, 1.0)
        self.atol = _checks.real_number("atol", atol, 0.0, math.inf)
        if not isinstance(check_finite, bool):
            raise TypeError(f"check_finite must be True or False, got {check_finite!r}.")
        self.check_finite = check_finite
        if check_finite:
            self.supports_jit = False
        self.supports_masking = True
        self.rates: list[keras.layers.Layer] = []
        self.statistics: list[keras.layers.Layer] = []
        self._state_shape: tuple[int | None, ...] | None = None
        self._warn_of_unused()

    @property
    def steps(self) -> int:
        """Number of steps."""
        return self._steps

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self._basis.nodes

    @property
    def basis(self) -> str:
        """Name of the basis."""
        return self._basis.name

    @property
    def tableau(self) -> Tableau:
        """The Runge-Kutta method."""
        return self._tableau

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make a copy of the rate for each node."""
        if len(input_shape) and not isinstance(input_shape[0], int | None):
            raise ValueError(f"{self.name!r} takes one tensor, got inputs of shapes {input_shape}.")
        self._state_shape = tuple(input_shape)
        self._set_rates(self._copies(self.nodes))
        self._set_grid(self._grid_of(self._tableau, self._basis, self._steps))

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The state at the end."""
        field = Field(self.rates, self._moving(), training, mask)
        values = field.values()
        if self._tableau.adaptive:
            if training:
                raise ValueError(
                    f"{self.name!r} has the adaptive scheme {self._tableau.name!r}, which is for inference "
                    "only. Train with a fixed scheme, like 'rk4', and change it afterwards: "
                    "kk.layers.project(model, scheme='dopri5')."
                )
            method = self._tableau, self._basis, self._grid
            return integrate_adaptively(field, values, inputs, *method, self.horizon, self.rtol, self.atol)
        state, after, loss = integrate(
            field,
            values,
            inputs,
            self._tableau,
            plan_of(self._tableau, self._basis, self._steps, self._grid),
            self.horizon / self._steps,
            checkpoint=self.memory == "checkpoint" and bool(training),
            check=self._check if self.check_finite else None,
        )
        for variable, value in field.changed(values, after):
            variable.assign(value)
        if loss is not None:
            self.add_loss(loss)
        return state

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """That of the input."""
        return tuple(input_shape)

    def weights_at(self, time: float) -> list[Any]:
        """The weights of the rate at a time from 0 to `horizon`, in the order of `rates[0].variables`."""
        share = _checks.real_number("time", time, 0.0, math.nextafter(self.horizon, math.inf), closed=True)
        if not self.built:
            raise ValueError(
                f"{self.name!r} is not built, so it has no weights. Call it, or its model, on some inputs "
                "first."
            )
        field = Field(self.rates, self._moving(), None, None)
        stage = Stage(self._basis.at(share / self.horizon), self._grid.at(share / self.horizon))
        return [ops.convert_to_numpy(value) for value in field.at(field.values(), stage)]

    # --- a change of depth: what kk.layers.refine and kk.layers.project are made of ---

    def _copies(self, count: int) -> list[keras.layers.Layer]:
        """New copies of the rate, named by the numbers of nodes."""
        with self._open_name_scope():
            return [
                built_copy(self._prototype, node, self._state_shape, self.compute_dtype, self.name)
                for node in range(count)
            ]

    def _set_rates(self, rates: list[keras.layers.Layer]) -> None:
        with self._unlocked():
            self.rates.clear()
            self.rates.extend(rates)

    def _grid_of(self, tableau: Tableau, basis: Basis, steps: int) -> Grid:
        """Where another method looks for statistics: an adaptive one, where they have been gathered."""
        return self._grid if tableau.adaptive else Grid.of(tableau, steps, basis)

    def _set_grid(self, grid: Grid) -> None:
        """Make room for the moving statistics of all stages of a grid."""
        self._grid = grid
        nodes = [node for node, first in grid.homes(self._basis) if not first]
        if not any(moving(self.rates[0])):
            nodes = []
        with self._open_name_scope():
            later = [
                Statistics(self._moving_at(node), name=f"statistics_{number}")
                for number, node in enumerate(nodes)
            ]
        with self._unlocked():
            self.statistics.clear()
            self.statistics.extend(later)

    def _moving(self) -> list[list[Any]]:
        """The variables that hold the moving statistics of each stage."""
        kept = iter(self.statistics)
        homes = self._grid.homes(self._basis)
        if not any(moving(self.rates[0])):
            return [[] for _ in homes]
        return [self._moving_at(node) if first else next(kept).variables for node, first in homes]

    def _moving_at(self, node: int) -> list[Any]:
        """The moving statistics in a node's own copy of the rate."""
        rate = self.rates[node]
        return [v for v, found in zip(rate.variables, moving(rate), strict=True) if found]

    @contextlib.contextmanager
    def _unlocked(self) -> Iterator[None]:
        """Within it layers may be added and taken away."""
        locked = self._tracker.locked
        self._tracker.unlock()
        try:
            yield
        finally:
            if locked:
                self._tracker.lock()

    def _set_method(self, tableau: Tableau, basis: Basis, steps: int) -> None:
        self._tableau, self._basis, self._steps = tableau, basis, steps

    def _warn_of_unused(self) -> None:
        if self._tableau.adaptive:
            return
        unused = unused_nodes(self._tableau, self._basis, self._steps)
        if unused:
            warnings.warn(
                f"{self.name!r} has {self.nodes} nodes, of which its {self._steps} steps of "
                f"{self._tableau.name!r} never meet {describe(unused)}: they get no gradient. Take more "
                "steps, or fewer nodes.",
                stacklevel=4,
            )

    def _check(self, value: Any, place: str) -> Any:
        return checked(
            value,
            f"the rate of {self.name!r} is not finite at {place}. Lower the learning rate or the horizon, "
            "take more steps, or bound the rate, for instance by normalisation.",
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments from which `from_config` makes an equal block."""
        named = NAMED.get(self._tableau.name) == self._tableau
        own = self._grid == Grid.of(self._tableau, self._steps, self._basis)
        return {
            **super().get_config(),
            **({} if own else {"grid": self._grid.to_config()}),
            "rate": keras.saving.serialize_keras_object(self._prototype.rate),
            "steps": self._steps,
            "nodes": self.nodes,
            "scheme": self._tableau.name if named else keras.saving.serialize_keras_object(self._tableau),
            "basis": self.basis,
            "horizon": self.horizon,
            "memory": self.memory,
            "rtol": self.rtol,
            "atol": self.atol,
            "check_finite": self.check_finite,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> ContinuousBlock:
        """The block that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("rate", "scheme")
            if isinstance(config[name], dict)
        }
        grid = config.get("grid")
        block = cls(**{**{name: value for name, value in config.items() if name != "grid"}, **parts})
        if grid is not None:
            block._grid = Grid.from_config(grid)
        return block
