"""The jobs behind the public functions and the verbs: the layer that combines all packages."""
