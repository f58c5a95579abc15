"""NSR-1K, the benchmark of layout planners (Feng et al., LayoutGPT, arXiv:2305.15393): a planner is
trained on its own files and scored by its own rules.

files        its prompts, checked
rules        its rules: positions, missing things, numbers of things
words        English words of positions: in a mirror, said otherwise, read by a judge
rows         its prompts as rows to train on, some held out
lexicon      English words as tokens, for a base that spells them
scores       accuracy by these rules, with intervals
training     one training per recipe
benchmark    ours, baselines, and published systems
"""
