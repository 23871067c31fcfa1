"""The pupils of `bench-page`: what they ask, how they ask it over HTTP, and what became of it."""
