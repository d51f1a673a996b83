"""Terms and units: one word for one thing, one spelling for one unit.

`Dictionary` finds the terms of a dictionary (variant -> preferred term -> code) and says what to edit; `Units` does so
for units behind numbers. Both return edits (`yibu.core.edits`) and counts, never changed text, so that annotations
follow and the report can say what was done. A layer of its own, below the families and above the core: preparation
normalises with it, augmentation asks it for synonyms, the coverage report for what no row mentions.
"""

from yibu.terms.dictionary import Dictionary, Match, TermsSettings, digest
from yibu.terms.entries import Entry
from yibu.terms.units import Units, UnitSettings

__all__ = ["Dictionary", "Entry", "Match", "TermsSettings", "UnitSettings", "Units", "digest"]
