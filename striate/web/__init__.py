"""What servers share, whatever they serve: limits, guards, bodies, refusals, the process behind a socket."""
