"""What refers to finger prints, voices, faces and images: file names of photographs, scans, sound, and their numbers.

The things themselves are not text. A note that mentions "a photograph was taken" names nobody and stays.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found
from yibu.detectors._labels import label, numbers_after

KINDS = ("biometric",)
IN_ALL = True

_FILE = re.compile(
    r"\.(?:jpe?g|JPE?G|png|PNG|heic|HEIC|dcm|DCM|tiff?|bmp|gif|webp|wav|mp3|m4a|mp4|mov|avi)(?![A-Za-z0-9])"
)
_STEM = re.compile(r"[0-9A-Za-z_\-()%/\\~.]+$")
_CHINESE_STEM = re.compile("[\u4e00-\u9fff]{1,12}$")
_LABEL = label(
    "指纹",
    "虹膜",
    "声纹",
    "人脸",
    "掌纹",
    "面部",
    "照片",
    "dna",
    "图像",
    "相片",
    "基因样本",
    "finger prints",
    "finger print",
    "fingerprints",
    "fingerprint",
    "iris",
    "retina",
    "voice print",
    "voiceprint",
    "face",
    "facial",
    "photograph",
    "photo",
    "image",
    "picture",
    "biometric",
)
_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){3})[0-9A-Za-z]+(?:[-_/.][0-9A-Za-z]+)*")


def find(text: str) -> list[Found]:
    result = []
    if "." in text:
        for match in _FILE.finditer(text):
            reach = (text, max(0, match.start() - 60), match.start())
            stem = _STEM.search(*reach) or _CHINESE_STEM.search(*reach)
            if stem is not None:
                result.append(Found(stem.start(), match.end(), "biometric", False))
    result += [Found(start, end, "biometric", False) for start, end in numbers_after(text, _LABEL, _NUMBER)]
    return sorted(result)
