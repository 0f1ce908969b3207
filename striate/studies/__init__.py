"""Studies: published experiments, run again beside their numbers.

A study is one file of `published`: its question and source, the published rows, what is compared at each scale, and the
claims that would count as reproduced. A claim's rule is fixed in the file before the first run: the 95 % interval of a
paired difference leaves out no effect, in the claimed direction.
"""
