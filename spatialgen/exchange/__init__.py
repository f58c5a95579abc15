"""Data in and out: the lake's tables for those who have no lake, and sets of theirs for the lake.

forms.py     the names of the forms
places.py    files and folders that appear when they are complete
tables.py    a table as CSV or Parquet
samples.py   pictures with captions and boxes as a folder: JSONL, or COCO
lines.py     the lines of such a JSONL, each a sample or the reason why not
pictures.py  the picture files that they name
imports.py   such a folder into the store, as if its pictures had been downloaded
"""
