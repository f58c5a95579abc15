"""Boxes from vision-language models: what they are asked, how they answer, how good it is."""
