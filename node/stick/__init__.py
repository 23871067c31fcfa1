"""USB sticks at the school: what the courier brings is taken in, what the school has to say is written."""
