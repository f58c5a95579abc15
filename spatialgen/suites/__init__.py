"""Folders of prompts and pictures for public benchmarks: their own evaluators, which need GPUs and
other environments, then read them as they stand.

suite.py          what a benchmark is here, and how its files are read
geneval.py        GenEval
t2i_compbench.py  T2I-CompBench++
visor.py          VISOR
coco_mig.py       COCO-MIG
catalogue.py      all of these by name
translations.py   prompts painted in another language than the evaluator reads
export.py         the folder: prompts, settings, pictures
"""
