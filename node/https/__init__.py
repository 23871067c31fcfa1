"""The second door: the page over HTTPS, for telephones that carry the chat as an app. Only where the head wants it.

The rules, in order:
1. The PC's authority can vouch for this PC's own names and addresses and for nothing else, on every telephone: the key
   that could say more is never written down (decision 0103).
2. Nothing is signed by a clock that is known to be wrong, and nothing that telephones have trusted is replaced unasked.
3. The plain door stays as it is. No cookie goes from one door to the other, and no telephone is told to come by HTTPS.
"""
