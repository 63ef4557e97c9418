"""The command line: flags, specs and how a program starts and ends."""
