"""Search by image: an index of embeddings, exact nearest neighbours in it, and how good they are."""
