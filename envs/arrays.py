"""Names of the arrays that everything is made of; shapes stand beside each use."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
