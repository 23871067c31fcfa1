"""Trade with the centre whenever a link is up, and with the school's other PCs; no other app opens connections."""
