"""Who said it, and is it still the word to follow: keys, envelopes, TUF publisher and client, release bytes.

Stands on federation.wire alone. Knows neither Django project, no model and no school.
"""
