"""A decoder beside a frozen CLIP: the tower, the decoder, and how the one becomes the inputs of the other."""
