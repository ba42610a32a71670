"""What a command leaves out of Numba: it is not loaded, and works where it is asked for."""

import pytest
from commands import python_process

from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")


def test_kernels_need_no_linear_algebra_of_scipy() -> None:
    code = """
    import sys
    import numpy as np
    from numba.np import linalg
    from spikesim.jit.startup import leave_out_blas
    from spikesim.numerics.quantization import quantize_weights

    leave_out_blas()
    print(quantize_weights(np.array([0.5, -1.0]), "weights")[0].tolist(), "scipy.linalg" in sys.modules)
    linalg.ensure_blas()
    print("scipy.linalg" in sys.modules)
    """
    output, errors = python_process(code).communicate(timeout=300)
    assert output.splitlines() == ["[8192, -16384] False", "True"], errors
