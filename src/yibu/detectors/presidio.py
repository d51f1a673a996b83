"""National numbers that the recognisers of presidio-analyzer prove by a check digit, used one by one without a model.

presidio (MIT) has patterns for 18 countries. Where a check digit proves a match they are good and are taken. Patterns
that only its context words support are not, since these need the lemmas of a spaCy model. `all` in a recipe leaves them
out, so that a run does not depend on what happens to be installed; name the kinds, or install ``yibu[privacy]`` first.

presidio's patterns use ``\\b``, which fails where Chinese touches a number, so they are shown the text with every
character that is not ASCII replaced by a space.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

from yibu.core.errors import MissingExtra
from yibu.detectors._found import Found, has_digit

_RECOGNISERS = {
    "au_abn": ("AuAbnRecognizer", "AU_ABN"),
    "au_medicare": ("AuMedicareRecognizer", "AU_MEDICARE"),
    "au_tfn": ("AuTfnRecognizer", "AU_TFN"),
    "crypto_wallet": ("CryptoRecognizer", "CRYPTO"),
    "es_nif": ("EsNifRecognizer", "ES_NIF"),
    "in_aadhaar": ("InAadhaarRecognizer", "IN_AADHAAR"),
    "it_fiscal_code": ("ItFiscalCodeRecognizer", "IT_FISCAL_CODE"),
    "pl_pesel": ("PlPeselRecognizer", "PL_PESEL"),
    "uk_nhs": ("NhsRecognizer", "UK_NHS"),
    "us_medical_licence": ("MedicalLicenseRecognizer", "MEDICAL_LICENSE"),
}
KINDS = tuple(_RECOGNISERS)
IN_ALL = False

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


@functools.cache
def _recognisers() -> list[tuple[str, str, Any]]:
    try:
        module = importlib.import_module("presidio_analyzer.predefined_recognizers")
    except ImportError as error:
        raise MissingExtra("presidio-analyzer", extra="privacy", use="This kind of personal data") from error
    return [(kind, entity, getattr(module, name)()) for kind, (name, entity) in _RECOGNISERS.items()]


def find(text: str) -> list[Found]:
    if not has_digit(text):
        return []
    ascii_text = _NOT_ASCII.sub(" ", text)
    result = []
    for kind, entity, recogniser in _recognisers():
        for one in recogniser.analyze(ascii_text, [entity], None):
            if one.score >= 1.0:  # what a check digit proved; without a model nothing else gets there
                result.append(Found(one.start, one.end, kind, True))
    return sorted(result)
