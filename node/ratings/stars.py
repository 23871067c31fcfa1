"""From how many stars a rating is good, and up to how many it is bad; between them it says neither."""

GOOD_STARS, BAD_STARS = 4, 2
