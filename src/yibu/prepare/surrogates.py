"""Invented values in place of personal data: the same each time for the same value, and nobody's.

Every choice is drawn from HMAC-SHA-256 over secret, kind, person and value, so that rows and fields agree
without any table being kept, in every worker, on every machine that has the secret; without it nothing can be undone or
guessed. Values keep their form (spaces, dashes, length) and check digits, and lie in ranges that are not given out:

============== =====================================================================================================
id_card        region 290000, which GB/T 2260 does not assign; birth date shifted, sex kept
phone          North America: 555-0100 to 555-0199 (reserved for fiction); Chinese mobile: 161 (not assigned in the
               numbering plan of 2017); landline: a local number that begins with 1; elsewhere: country code +999
bank_card      issuer 9999 (ISO/IEC 7812: national, country 999)
credit_code    region 290000
ssn            area 9xx with a group that no ITIN uses
account        IBAN of the country ZZ (not assigned)
vehicle        manufacturer 000; device: TAC 00 (test), MAC 02:00:00 (locally administered)
licence_plate  authority I, a letter that plates leave out
passport       Z, a letter that no booklet has
email, url     example.com, .org, .net (RFC 2606)
ip             192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737), 2001:db8::/32 (RFC 3849)
============== =====================================================================================================

Dates move by one number of days per person, so that intervals stay. An age over 89 becomes 90. Names, addresses and
numbers of hospitals have no reserved ranges; an invented name may be somebody's, as every name is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Sequence

from yibu.detectors import credit_code, id_card, is_given_name, vehicle
from yibu.prepare.shifted_dates import shifted

_SURNAMES_ZH = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕施张孔曹严金魏陶姜谢邹苏潘葛范彭鲁韦马方袁柳史唐薛雷贺汤罗郝"
_GIVEN_ZH = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英华玉兰红梅建国志文海燕春雪松林峰宁欣怡然宇浩博雅琳佳颖晨曦"
_SURNAMES_EN = [
    "Abbott",
    "Barlow",
    "Carver",
    "Dalton",
    "Ellison",
    "Fenwick",
    "Garland",
    "Hollis",
    "Ingram",
    "Jarvis",
    "Kendrick",
    "Lomax",
    "Mercer",
    "Norwood",
    "Osborne",
    "Pruitt",
    "Quincy",
    "Radcliffe",
    "Sawyer",
    "Thornton",
    "Underhill",
    "Vickers",
    "Whitaker",
    "Yardley",
    "Ackerman",
    "Bristow",
    "Caldwell",
    "Draper",
    "Everett",
    "Fairbanks",
    "Goodwin",
    "Hathaway",
]
_GIVEN_EN = [
    "Adrian",
    "Beatrice",
    "Clara",
    "Desmond",
    "Edith",
    "Felix",
    "Gloria",
    "Howard",
    "Irene",
    "Julian",
    "Katrina",
    "Leonard",
    "Miriam",
    "Nathan",
    "Olivia",
    "Percy",
    "Roland",
    "Sylvia",
    "Tobias",
    "Ursula",
    "Vernon",
    "Wilma",
    "Yvonne",
    "Alfred",
    "Bernice",
    "Cedric",
    "Daphne",
    "Edgar",
    "Fiona",
    "Gordon",
    "Harriet",
    "Isabel",
]
_SOUNDS_ZH = "阿艾巴贝德丁尔法古哈吉卡克拉丽罗马米娜诺帕奇萨斯塔图维西亚伊"
_PARTICLES = frozenset(
    ["van", "von", "der", "den", "de", "da", "do", "dos", "di", "del", "la", "le", "bin", "al", "el", "y", "ter"]
)
_CITIES_ZH = ("宁川市", "云溪市", "临湖市", "安原市", "平岭市", "青浦山市", "河汀市", "林泉市")
_DISTRICTS_ZH = ("东湖区", "桐山区", "新桥区", "南塘区", "北苑区", "西坪区", "江湾区", "石泉区")
_ROADS_ZH = ("梧桐路", "望江路", "文昌街", "和平路", "青年路", "育才街", "丰收路", "长乐街", "朝阳路", "翠微路")
_STREETS_EN = (
    "Elm Street",
    "Maple Avenue",
    "Cedar Lane",
    "Willow Road",
    "Birch Drive",
    "Hazel Court",
    "Juniper Street",
)
_CITIES_EN = ("Fairhollow", "Northbrooke", "Elmstead", "Westerley", "Marlowton", "Ashcombe", "Briarfield")
_HAN = re.compile("[\u4e00-\u9fff]")
_WORD = re.compile(r"[^\W\d_]+")
_COMPOUND = frozenset(
    [
        "欧阳",
        "上官",
        "司马",
        "诸葛",
        "皇甫",
        "司徒",
        "慕容",
        "令狐",
        "长孙",
        "宇文",
        "东方",
        "公孙",
        "尉迟",
        "南宫",
        "夏侯",
        "独孤",
        "端木",
        "申屠",
    ]
)


def key_of(value: str) -> str:
    """What two ways to write one value have in common: letters and digits, letter case and width aside."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", value).casefold() if letter.isalnum())


class Draw:
    """Choices that depend on a secret and on what they are drawn for, and on nothing else."""

    def __init__(self, secret: bytes, *purpose: str) -> None:
        self._secret = secret
        self._purpose = "\0".join(purpose).encode("utf-8", "surrogatepass")
        self._count = 0

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        self._count += 1
        digest = hmac.digest(self._secret, self._purpose + b"\0" + str(self._count).encode(), hashlib.sha256)
        return int.from_bytes(digest[:8]) % limit

    def pick(self, choices: Sequence[str]) -> str:
        return choices[self.below(len(choices))]

    def digits(self, count: int) -> str:
        return (
            str(self.below(10**count)).zfill(count)
            if 0 < count <= 18
            else "".join(self.pick("0123456789") for _ in range(count))
        )


class Surrogates:
    """Writes invented values.

    Args:
        secret: the key; another one gives other values.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._of_kind: dict[str, Callable[[str, str, Draw], str | None]] = {
            "account": self._account,
            "address": self._address,
            "age_over_89": lambda value, person, draw: "90",
            "bank_card": self._bank_card,
            "biometric": self._biometric,
            "birth_date": self._date,
            "credit_code": self._credit_code,
            "date": self._date,
            "device": self._device,
            "email": self._email,
            "id_card": self._id_card,
            "ip": self._ip,
            "licence_plate": self._licence_plate,
            "name": self._name,
            "passport": self._passport,
            "phone": self._phone,
            "ssn": self._ssn,
            "url": self._url,
            "vehicle": self._vehicle,
        }

    def replace(self, kind: str, value: str, person: str | None) -> str | None:
        """The invented value.

        Args:
            kind: of the data.
            value: what stood in the text.
            person: whose row it is, if that is known; the same value of two people becomes two invented ones.

        Returns:
            None where no form is known in which to write one (a date that is none); mask it then.
        """
        owner = person or ""
        for attempt in range(8):  # an invented value that happens to be the real one is drawn again
            draw = Draw(self._secret, "surrogate", kind, owner, key_of(value), str(attempt))
            write = self._of_kind.get(kind)
            new = refill(value, draw) if write is None else write(value, owner, draw)
            if new is None or key_of(new) != key_of(value) or kind == "age_over_89":
                return new
        return None

    def days(self, person: str) -> int:
        """By how many days the dates of a person move: 30 to 364, back or forth."""
        draw = Draw(self._secret, "days", person)
        return (30 + draw.below(335)) * (1 if draw.below(2) else -1)

    def _date(self, value: str, person: str, draw: Draw) -> str | None:
        return shifted(value, self.days(person))

    def _name(self, value: str, person: str, draw: Draw) -> str:
        if _HAN.search(value):
            if re.search("[·•・]", value):
                return re.sub(r"[^·•・]+", lambda part: self._sounds(part[0], person), value)
            size = 2 if value[:2] in _COMPOUND else 1
            return self._part(value[:size], person, "surname") + self._part(value[size:], person, "given")
        return _WORD.sub(lambda word: self._latin(word[0], person), value)

    def _part(self, part: str, person: str, role: str) -> str:
        """A surname or a given name; by itself, so that 王先生 and 王伟 stay one family."""
        if not part:
            return ""
        for attempt in range(8):
            draw = Draw(self._secret, role, person, part, str(attempt))
            pool = _SURNAMES_ZH if role == "surname" else _GIVEN_ZH
            new = draw.pick(pool) if role == "surname" else "".join(draw.pick(pool) for _ in part)
            if new != part:
                break
        return new

    def _sounds(self, part: str, person: str) -> str:
        draw = Draw(self._secret, "sounds", person, part)
        return "".join(draw.pick(_SOUNDS_ZH) for _ in part)

    def _latin(self, word: str, person: str) -> str:
        """One word of a name; by itself, so that Mr. Smith and John Smith stay one person."""
        if word.lower() in _PARTICLES:
            return word
        if len(word) == 1:
            return Draw(self._secret, "initial", person, word.lower()).pick("ABCDEFGHIJKLMNOPRSTVW")
        draw = Draw(self._secret, "latin", person, key_of(word))
        pool = _GIVEN_EN if is_given_name(word) else _SURNAMES_EN
        new = draw.pick(pool)
        if new.casefold() == word.casefold():
            new = pool[(pool.index(new) + 1) % len(pool)]
        return new.upper() if word.isupper() else new.lower() if word.islower() else new

    def _address(self, value: str, person: str, draw: Draw) -> str:
        digits = re.sub(r"\D", "", value)
        if not _WORD.search(value):  # a postcode alone: 00 is assigned in neither country
            return into(value, "00" + draw.digits(max(0, len(digits) - 2)))
        number = str(1 + draw.below(998))
        if _HAN.search(value):
            return draw.pick(_CITIES_ZH) + draw.pick(_DISTRICTS_ZH) + draw.pick(_ROADS_ZH) + number + "号"
        return f"{number} {draw.pick(_STREETS_EN)}, {draw.pick(_CITIES_EN)}"

    def _id_card(self, value: str, person: str, draw: Draw) -> str:
        digits = re.sub(r"[^0-9Xx]", "", value)
        if len(digits) not in (15, 18):
            return refill(value, draw)
        if len(digits) == 15:
            born = shifted("19" + digits[6:12], self.days(person)) or "19700101"
            return into(value, "290000" + born[2:] + draw.digits(2) + _same_parity(digits[14], draw))
        born = shifted(digits[6:14], self.days(person)) or "19700101"
        body = "290000" + born + draw.digits(2) + _same_parity(digits[16], draw)
        return into(value, body + id_card.check_character(body))

    def _phone(self, value: str, person: str, draw: Draw) -> str:
        main, tail = re.fullmatch(r"(.*?)((?:[ ,，]*(?:转|分机|#|(?i:ext|x)).*)?)", value, re.DOTALL).groups()  # type: ignore[union-attr]
        tail = refill(tail, draw, letters=False)
        digits = re.sub(r"\D", "", main)
        if mobile := re.fullmatch(r"(86|0086)?1[3-9]\d{9}", digits):
            return into(main, (mobile[1] or "") + "161" + draw.digits(8)) + tail
        if main.lstrip("(").startswith("+") and not digits.startswith("1"):
            return into(main, "999" + draw.digits(len(digits) - 3)) + tail
        if len(digits) in (10, 11) and not digits.startswith("0"):
            start = "1" if len(digits) == 11 else ""
            return into(main, f"{start}{2 + draw.below(8)}{draw.digits(2)}55501{draw.digits(2)}") + tail
        area = re.match(r"\D*(0\d{2,3})(?!\d)|0", main)
        code = "0100"[: len(area[1])] if area is not None and area[1] else "010" if area is not None else ""
        return into(main, code + "1" + draw.digits(len(digits) - len(code) - 1)) + tail

    def _bank_card(self, value: str, person: str, draw: Draw) -> str:
        count = len(re.sub(r"\D", "", value))
        if count < 12:
            return refill(value, draw)
        body = "9999" + draw.digits(count - 5)
        total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(body)))
        return into(value, body + str(-total % 10))

    def _credit_code(self, value: str, person: str, draw: Draw) -> str:
        if len(value) != 18:
            return refill(value, draw)
        unit = "".join(draw.pick(credit_code.ALPHABET) for _ in range(8))
        total = sum(int(sign, 36) * weight for sign, weight in zip(unit, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
        check = "0X987654321"[total % 11]  # GB 11714, the check character of the organisation code inside
        body = value[:2].upper() + "290000" + unit + check
        return body + credit_code.check_character(body)

    def _ssn(self, value: str, person: str, draw: Draw) -> str:
        if len(re.sub(r"\D", "", value)) != 9:
            return refill(value, draw)
        return into(value, f"9{draw.digits(2)}{1 + draw.below(49):02d}{1 + draw.below(9998):04d}")

    def _account(self, value: str, person: str, draw: Draw) -> str:
        if not re.match(r"[A-Z]{2}[0-9]{2}", value) or len(value) < 15:
            return refill(value, draw)
        rest = refill(re.sub(r"\W", "", value)[4:], draw)
        check = 98 - int("".join(str(int(sign, 36)) for sign in rest + "ZZ00")) % 97
        return into(value, f"ZZ{check:02d}{rest}")

    def _vehicle(self, value: str, person: str, draw: Draw) -> str:
        if len(value) != 17:
            return refill(value, draw)
        body = "000" + "".join(draw.pick("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(5)) + "0"
        body += draw.pick("ABCDEFGH") + draw.pick("ABCDEFGH") + draw.digits(6)
        return body[:8] + vehicle.check_character(body) + body[9:]

    def _device(self, value: str, person: str, draw: Draw) -> str:
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", value):
            return into(value, "020000" + "".join(draw.pick("0123456789ABCDEF") for _ in range(6)))
        return into(value, "00" + draw.digits(13)) if re.fullmatch(r"\d{15}", value) else refill(value, draw)

    def _licence_plate(self, value: str, person: str, draw: Draw) -> str:
        if not _HAN.match(value):
            return refill(value, draw)
        return value[0] + "I" + refill(value[2:], draw)

    def _passport(self, value: str, person: str, draw: Draw) -> str:
        return re.sub("[A-Za-z]", "Z", refill(value, draw))

    def _email(self, value: str, person: str, draw: Draw) -> str:
        return f"{draw.pick(_GIVEN_EN).lower()}{draw.below(10**6)}@example.{draw.pick(('com', 'org', 'net'))}"

    def _url(self, value: str, person: str, draw: Draw) -> str:
        return f"https://example.{draw.pick(('com', 'org', 'net'))}/{draw.below(10**9)}"

    def _ip(self, value: str, person: str, draw: Draw) -> str:
        if ":" in value:
            return f"2001:db8::{draw.below(65536):x}:{draw.below(65536):x}"
        return f"{draw.pick(('192.0.2', '198.51.100', '203.0.113'))}.{1 + draw.below(254)}"

    def _biometric(self, value: str, person: str, draw: Draw) -> str:
        stem, dot, ending = value.rpartition(".")
        return f"file{draw.below(10**9)}.{ending}" if dot and ending.isalnum() and stem else refill(value, draw)


def refill(value: str, draw: Draw, letters: bool = True) -> str:
    """The value with every digit drawn anew and every Latin letter too; signs, spaces and length stay."""

    def new(sign: str) -> str:
        if sign.isdigit():
            return draw.pick("0123456789")
        if letters and sign.isascii() and sign.isalpha():
            return draw.pick("ABCDEFGHJKLMNPQRSTUVWXYZ" if sign.isupper() else "abcdefghijkmnpqrstuvwxyz")
        return sign

    return "".join(map(new, value))


def into(form: str, signs: str) -> str:
    """The signs in the places of the letters and digits of ``form``, what is left over behind them."""
    rest = iter(signs)
    made = "".join(next(rest, "") if sign.isalnum() else sign for sign in form)
    return made + "".join(rest)


def _same_parity(digit: str, draw: Draw) -> str:
    """A digit that is odd where the other is: in an identity number it says the sex."""
    odd = digit.isdigit() and int(digit) % 2
    return draw.pick("13579" if odd else "02468")
