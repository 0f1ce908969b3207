"""The parts that networks are built of, one idea a file. A layer knows no network."""
