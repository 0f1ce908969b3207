"""Running a model: the classifier and its engines. Importing this imports neither torch nor OpenVINO."""
