"""The one place where rooms meet: what Python, the command line and any server call."""
