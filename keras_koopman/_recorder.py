"""What criteria and schedules that look at the trajectory ask of a recorder."""

from __future__ import annotations

from typing import Any


def checked_recorder(owner: str, recorder: Any) -> Any:
    """`recorder` if it can be followed.

    Raises:
        TypeError: If it is no `TrajectoryRecorder`.
    """
    if recorder is None or (hasattr(recorder, "trajectory") and hasattr(recorder, "subscribe")):
        return recorder
    raise TypeError(
        f"{owner} needs the recorder of the trajectory, got {recorder!r} of type {type(recorder).__name__}. "
        "Pass a kk.callbacks.TrajectoryRecorder, and the same one to fit(callbacks=[...])."
    )


def watched_model(owner: str, recorder: Any) -> Any:
    """The model that the recorder watches.

    Raises:
        ValueError: If there is no recorder, or it watches no model.
    """
    if recorder is None:
        raise ValueError(
            f"{owner} has no recorder: it is not saved with the model. Set its `recorder` to a "
            "kk.callbacks.TrajectoryRecorder, and pass that to fit(callbacks=[...])."
        )
    model = recorder.model
    if model is None:
        raise ValueError(
            f"{owner} follows a recorder that watches no model. Pass the recorder to fit(callbacks=[...]), "
            "or in a loop of your own call recorder.set_model(model) before the first step."
        )
    return model
