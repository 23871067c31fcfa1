"""Which factors of an adapter schools learn, what travels, and how the centre adds it up (protocol §6.2, 6.3, 6.6).

NumPy only; it knows no disk, no network and no model. The rules it keeps, in order:
1. A contribution is a delta on the start of its plan, and is clipped before anything else looks at it.
2. An accumulator takes one contribution at a time and holds no more for a thousand schools than for a few.
3. The order of schools does not matter, and weights sum to 1.
4. What a scheme combines exactly, and what it does not, stands in its own module.
"""
