"""Reading lines of digits: a classifier slid over a line, its scores decoded, and composed lines to train on."""
