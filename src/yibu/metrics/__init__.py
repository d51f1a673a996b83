"""What an answer is worth (`scores`) and how sure that figure is (`stats`).

Imports numpy and parts of scipy, so stages import it in their entry functions only.
"""
