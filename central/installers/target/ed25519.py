"""Verifies Ed25519 signatures, which the standard library cannot; joined into the one file that a technician starts.

Points are in extended coordinates (x, y, z, x·y/z). Nothing here is secret, so no step need take the same time.
Source: RFC 8032, §5.1 and §6.
"""

import hashlib

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, PRIME - 2, PRIME) % PRIME
ROOT_OF_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)
Point = tuple[int, int, int, int]


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) is that of `message` by the key `public` (32 bytes)."""
    if len(public) != 32 or len(signature) != 64:  # noqa: PLR2004 - the lengths that RFC 8032 gives them
        return False
    key, first = _point_read(public), _point_read(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or first is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    x, y, z, _ = _add(first, _times(challenge, key))
    other_x, other_y, other_z, _ = _times(scalar, _base_point())
    return (x * other_z - other_x * z) % PRIME == 0 and (y * other_z - other_y * z) % PRIME == 0


def _base_point() -> Point:
    y = 4 * pow(5, PRIME - 2, PRIME) % PRIME
    point = _point_read(y.to_bytes(32, "little"))
    if point is None:
        raise ArithmeticError
    return point


def _point_read(content: bytes) -> Point | None:
    y = int.from_bytes(content, "little")
    is_odd, y = y >> 255, y & (2**255 - 1)
    if y >= PRIME:
        return None
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, PRIME - 2, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * ROOT_OF_MINUS_ONE % PRIME
    if (x * x - square) % PRIME or (x == 0 and is_odd):
        return None
    x = PRIME - x if x & 1 != is_odd else x
    return x, y, 1, x * y % PRIME


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % PRIME
    c = 2 * one[3] * other[3] * CURVE_D % PRIME
    d = 2 * one[2] * other[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _times(scalar: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point, scalar = _add(point, point), scalar >> 1
    return total
