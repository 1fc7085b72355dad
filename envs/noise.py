"""Counter-based random numbers: a uniform is a pure function of (seed, index, episode, record, column).

Nothing is consumed in sequence, so trajectories do not depend on batch size, thread count or neighbours.
The hash is the finaliser of splitmix64 (Steele, Lea and Flood 2014), applied once per level of the key.
"""

import math

import numpy as np

from pointsman.envs.compiled import batched, inlined

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)
_UNIT = 2.0**-52
# Records that no simulation reaches: a policy's own randomness, and what belongs to the clock instead of a request.
POLICY_RECORD = 1 << 62
CLOCK_RECORD = (1 << 62) + 1
# Parts of a double, for the logarithm: 1 and sqrt(1/2) as bits, the mantissa, and 2^52, whose mantissa counts ones.
_ONE, _ROOT_HALF = np.uint64(0x3FF0000000000000), np.uint64(0x3FE6A09E667F3BCD)
_MANTISSA, _COUNT, _52 = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(0x4330000000000000), np.uint64(52)
_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@inlined
def mix(key, counter):
    """Child key of `key` at `counter` (both 64-bit)."""
    z = key + _GOLDEN * np.uint64(counter + 1)
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@inlined
def uniform(key, column):
    """Uniform in the open interval (0, 1): the middle of one of 2^52 equal parts."""
    return (np.float64(np.int64(mix(key, column) >> _12)) + 0.5) * _UNIT


@inlined
def log(x):
    """Natural logarithm of a normal positive float64 within 1 ulp: that of fdlibm, without branches.

    It compiles to inline code, and to vector instructions in a loop, which a call to the C library does not.
    """
    bits = np.float64(x).view(np.uint64) + (_ONE - _ROOT_HALF)
    exponent = np.uint64((bits >> _52) | _COUNT).view(np.float64) - (2.0**52 + 1023.0)
    f = np.uint64((bits & _MANTISSA) + _ROOT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860510658591e-01)
    rest = odd + z * (6.666666666666735130e-01 + w * even)
    half = 0.5 * f * f
    return exponent * _LOG_2_HIGH - ((half - (s * (half + rest) + exponent * _LOG_2_LOW)) - f)


@inlined
def exponential(key, column):
    """Exponential with mean 1."""
    return -log(uniform(key, column))


@inlined
def normal(exponential, uniform):
    """Standard normal by Box and Muller, from an exponential and a uniform."""
    return math.sqrt(2.0 * exponential) * math.cos(2.0 * math.pi * uniform)


@inlined
def episode_key(seed, index, episode):
    """Key of one episode: environment `index` of a batch seeded with `seed`."""
    return mix(mix(mix(np.uint64(0), seed), index), episode)


@batched
def spread(u, out):
    """Write independent uniforms out [N, K], each row's a function of its one uniform u [N]."""
    for i in range(out.shape[0]):
        key = np.uint64(np.int64(u[i] / _UNIT))
        for k in range(out.shape[1]):
            out[i, k] = uniform(key, k)


@batched
def policy_uniforms(key, decision, out):
    """Write one uniform per row for a policy's own randomness: key uint64[N], decision int64[N], out float64[N]."""
    for i in range(key.shape[0]):
        out[i] = uniform(mix(key[i], POLICY_RECORD), decision[i])
