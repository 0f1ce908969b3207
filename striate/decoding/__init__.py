"""From the bytes of an image file to an upright 8-bit RGB picture, whatever the file holds.

`decode` is the door. Each kind of file has a module: JPEG, PNG, TIFF; `formats` lists what is opened at all.
"""
