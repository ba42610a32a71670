"""The model of spikesim written from its documentation alone: docs/model.md, and the pages that it links.

NumPy and sparse matrices of SciPy, plain loops over steps and layers; nothing is shared with the package, not even a
constant. The modules follow the sections of the page, and each function says which sentences it follows
(`page.follows`): a test looks them up on the page, in their order, and wants every sentence there to be followed or to
be named in `left_out`. Another test trains networks with the program and with this, and compares what they did.

Arrays hold samples first: maps are (n, H, W, C), what a layer is made of (n, neurons) in the order row, column,
channel. Integers of the dynamics are int64 here, whatever they fit into, 1.0 = 2**16 unless said otherwise.
"""
