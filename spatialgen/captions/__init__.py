"""Judging captions: strong, weak or none.

rubric.txt     the prompt
prompt.py      its tokens
classifier.py  a caption's probabilities, from any causal language model
filter.py      the row stage around it
publish.py     classes, target, lake/captions
gold.py        agreement with hand-labelled captions
estimate.py    what a run would cost
"""
