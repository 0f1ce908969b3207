"""One file a published experiment."""
