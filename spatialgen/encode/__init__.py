"""What a generator is given, made once: latents of pictures and states of prompts.

buckets.py    crops of pictures to a few shapes, and their boxes
states.py     `PromptStates`: a prompt's states without the copies of its pads
generator.py  the autoencoder and the text encoders of a Kolors or SDXL pipeline
stage.py      the row stages around them
metrics.py    what they take
tables.py     readers of both, for trainings
"""
