"""Trade with the centre whenever a link is up; the only app that opens a connection out of the school."""
