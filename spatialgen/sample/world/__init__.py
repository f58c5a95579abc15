"""The sample world: what there is, where it is put, how it is drawn, and what captions say of it.

classes -> cutouts -> scenes -> pictures, captions -> view: a caption with a picture and its truth.
"""
