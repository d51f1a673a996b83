"""Shared by the stages: a name becomes weights, rows become tokens, a base and an adapter become a model.

``resolve`` name -> files and weights · ``assemble`` base + adapter · ``render`` row -> tokens and loss mask
"""
