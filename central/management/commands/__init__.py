"""The centre's command line: doors that parse, call one service, and answer."""
