"""The page of an audit: what is wrong with a folder, in plain words, and choices beside the pictures."""
