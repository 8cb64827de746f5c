"""Arrays to torch and back; NumPy's bfloat16 is not torch's, so that one goes by its bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np


def to_torch(values: Any) -> Any:
    """A tensor of its own with the same numbers and dtype."""
    import torch

    values = np.asarray(values)
    if values.dtype == ml_dtypes.bfloat16:
        return torch.tensor(values.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(values)


def to_numpy(tensor: Any) -> np.ndarray:
    """An array of its own with the same numbers and dtype."""
    import torch

    tensor = torch.as_tensor(tensor).detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return tensor.numpy().copy()
