"""The stage `augment`: a data artifact in, the same with a larger train split and a set of hard test rows out."""

from yibu.augment.rows import Version, version_of
from yibu.augment.settings import AugmentSettings, RobustnessSettings
from yibu.augment.stage import augment

__all__ = ["AugmentSettings", "RobustnessSettings", "Version", "augment", "version_of"]
