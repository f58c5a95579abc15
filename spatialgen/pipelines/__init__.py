"""Kolors' and SDXL's pipelines with a say in where things are.

layout      what both gain: layouts of prompts, the adapter, the planner
guidance    what changes from step to step: when the adapter works, and layout guidance
kolors sdxl the two classes
loading     a pipeline with everything, from an adapter's folder
provenance  what made a picture, in the picture
"""
