"""Whether images can be trusted: looked at once, compared, found fault with, decided on."""
