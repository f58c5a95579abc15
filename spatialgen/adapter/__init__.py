"""The Spatial Adapter: where things are, told to every attention layer of a frozen SDXL-type UNet.

geometry    boxes over a grid of pixels: coverage, the place in a box, Fourier features
control     a batch of layouts, and what it tells the layers of one forward pass
attention   the part of one attention layer: bottlenecked attention to the things of its layout
adapter     the parts of all layers and the tokens of things; install, save, load
rows        which rows train, with their latents and prompts
batches     from rows to tensors: dropout, mirroring, noise
task        the loss on the noise, validation, what is published
stage       one training per fingerprint
"""
