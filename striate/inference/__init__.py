"""Running a model: the predictor and its engines. Importing this imports neither torch nor OpenVINO."""
