"""What no hook shows: norms that clipping saw, and steps that a gradient scaler left out.

While anything is watched, the function inside ``torch.nn.utils.clip_grad_norm_`` that scales the gradients (it is looked up at
each call, so that a function imported by name before is seen too) and ``GradScaler.step`` also tell the recorders. Both are put
back when the last watch is closed. Other ways to clip, such as a norm worked out by hand, are not seen.
"""

from __future__ import annotations

import functools
from typing import Any

from .torch_recorder import Recorder

_recorders: list[Recorder] = []
_put_back: list[tuple[Any, str, Any, Any]] = []


def listen(recorder: Recorder) -> None:
    """Tell a recorder from now on."""
    if not _recorders:
        _patch()
    _recorders.append(recorder)


def leave(recorder: Recorder) -> None:
    """Tell it no more."""
    if recorder in _recorders:
        _recorders.remove(recorder)
        if not _recorders:
            while _put_back:
                owner, name, ours, theirs = _put_back.pop()
                if getattr(owner, name) is ours:  # else somebody has put a function of theirs around it
                    setattr(owner, name, theirs)


def _patch() -> None:
    import torch
    from torch.nn.utils import clip_grad

    name = "_clip_grads_with_norm_" if hasattr(clip_grad, "_clip_grads_with_norm_") else "clip_grads_with_norm_"
    _replace(clip_grad, name, _clip(getattr(clip_grad, name)))
    _replace(torch.amp.GradScaler, "step", _scaled_step(torch.amp.GradScaler.step))


def _replace(owner: Any, name: str, ours: Any) -> None:
    _put_back.append((owner, name, ours, getattr(owner, name)))
    setattr(owner, name, ours)


def _clip(theirs: Any) -> Any:
    @functools.wraps(theirs)
    def clip(parameters: Any, max_norm: Any, total_norm: Any, *args: Any, **kwargs: Any) -> Any:
        due = [recorder for recorder in _recorders if recorder.about_to_measure]
        if due:
            parameters = [parameters] if hasattr(parameters, "grad") else list(parameters)
            ids = {id(p) for p in parameters}
            for recorder in due:
                recorder.clips.append((float(max_norm), total_norm.detach().clone(), ids))
        return theirs(parameters, max_norm, total_norm, *args, **kwargs)

    return clip


def _scaled_step(theirs: Any) -> Any:
    @functools.wraps(theirs)
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        before = {recorder: recorder.step for recorder in _recorders if recorder.optimizer is optimizer}
        result = theirs(self, optimizer, *args, **kwargs)
        for recorder, number in before.items():
            if recorder.step == number:
                recorder.skipped += 1
                recorder.clips.clear()
        return result

    return step
