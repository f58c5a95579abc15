"""Boxes from vision-language models: what they are asked, how they answer, how good it is.

prompt.txt, caption_prompt.txt   what is asked
qwen2_vl.py   Qwen2-VL's way to write boxes
families.py   every family's prompt, marks and coordinates
answers.py    from a model's text to clean boxes by name
annotator.py  `BoxAnnotator`: any of these models, in batches
pictures.py   the pictures it is shown, decoded ahead of it
stage.py      the row stage around it
publish.py    lake/boxes
gold.py       agreement with hand-checked boxes
scores.py     IoU, matching, precision and recall
detector.py   another judge, which shares nothing with these
"""
