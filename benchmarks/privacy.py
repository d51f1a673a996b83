"""Personal data: how much of what is there is found, and how much of what is found is there.

**Planted.** 1,000 identifiers of Chinese and English form, written by the generator in this file (its own check digits,
nothing of `yibu.detectors` is imported for it; one in six has a wrong check digit, as people mistype), are glued without
spaces into real sentences of lawbench, MTS-Dialog and banking77 that are full of other numbers, with decoys beside them:
order numbers, amounts, doses, hashes, versions, article numbers. Names, streets and cities come from
``privacy_heldout.json`` (mimesis), from which no list of the detectors is made; Chinese estates and towns are written
below. Sentences with years, months or titles are left out beforehand by a plain pattern, since what they hold is personal
data that nobody planted; everything found in the others counts as false. Found is an identifier that is covered whole.

**presidio_synth.** 1,500 sentences with spans (English, synthetic), cut in a half for work on the detectors and a half for
this figure by a hash of the text. Beside ours: the recognisers of presidio-analyzer itself on the same rows. spaCy's models
are not on PyPI, so presidio runs **without a model** here: no names, no context words. The figures say what its patterns
do, not what it does with a model. F1 per type over exact spans, and over spans that overlap.

``--dev`` uses the other halves of lists, sentences and rows, prints what went wrong, and records nothing.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from claims import record
from yibu.detectors import expand, find_all

DATA = Path("/work/shared/data")
HELD_OUT = Path(__file__).with_name("privacy_heldout.json")
NUM_PLANTED = 1000
PATTERNED = (
    "id_card phone bank_card credit_code passport medical_record insurance licence_plate email ip url date birth_date "
    "age_over_89 ssn account vehicle device licence"
).split()

# What a sentence may not hold, for then it holds personal data that nobody planted.
_REAL = re.compile(
    r"(?:19|20)\d\d|\d+/\d+/\d+|@|1\d\d-?\d{4}|[某X×Ｘ*]|\d月|[一二三四五六七八九十]月|先生|女士|上诉人|代理人|签字|医生|被告人|原告|"
    r"(?i:\bage (?:of )?9\d|\b9\d[ -]y|\b(?:mr|mrs|ms|dr|doctor|miss|january|february|march|april|june|july|august|september|october|november|december)\b)"
)
# Names of people that the sentences do hold, found by reading what was left: fictional parties of exam questions.
_HAS_PERSON = re.compile(r"张三|李四|王五|赵六|小[王李张明红刘陈赵]|老[王李张刘陈]|[甲乙丙丁]|(?:[A-Z][a-z]+ ){2}")


class Planted(NamedTuple):
    start: int
    end: int
    kind: str


class Document(NamedTuple):
    text: str
    planted: list[Planted]


# --- carriers -------------------------------------------------------------------------------------------------------


def half_of(text: str) -> int:
    """0 or 1 by a hash of the text."""
    return hashlib.sha256(text.encode()).digest()[0] % 2


def chinese_sentences() -> list[str]:
    found = []
    for name in ("1-1", "2-1", "2-4", "3-2", "3-7", "3-8"):
        for row in json.loads((DATA / f"lawbench/zero_shot/{name}.json").read_text(encoding="utf-8")):
            for value in (row["question"], row["answer"]):
                found += re.split(r"(?<=[。；;\n])", value)
    return found


def english_sentences() -> list[str]:
    found = []
    for name in ("TrainingSet", "ValidationSet"):
        with (DATA / f"mts_dialog/MTS-Dialog-{name}.csv").open(encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                found += re.split(r"(?<=[.?!])\s+|\n", row["section_text"] + "\n" + row["dialogue"])
    with (DATA / "banking77/test.csv").open(encoding="utf-8") as lines:
        found += [row["text"] for row in csv.DictReader(lines)]
    return [re.sub(r"^\s*(?:Guest_)?[A-Z][a-z_]+: ?", "", sentence) for sentence in found]


def carriers(sentences: list[str], half: int) -> list[str]:
    """Sentences of one half without personal data; those with digits come first, since they are the hard ones."""
    kept = sorted({s.strip() for s in sentences if 12 <= len(s.strip()) <= 160})
    kept = [s for s in kept if half_of(s) == half and not _REAL.search(s) and not _HAS_PERSON.search(s)]
    return sorted(kept, key=lambda s: (not re.search(r"\d", s), hashlib.sha256(s.encode()).digest()))


# --- the generator --------------------------------------------------------------------------------------------------


class Maker:
    """Writes identifiers.

    Args:
        seed: of its random numbers.
        half: which half of the held-out lists it takes names and places from.
    """

    def __init__(self, seed: int, half: int) -> None:
        self.random = random.Random(seed)
        lists = json.loads(HELD_OUT.read_text(encoding="utf-8"))
        self.lists = {
            name: [item for item in items if half_of(str(item)) == half or name in ("zh_surnames", "en_suffixes")]
            for name, items in lists.items()
            if name != "source"
        }

    def digits(self, count: int, first: str = "0123456789") -> str:
        return self.random.choice(first) + "".join(self.random.choice("0123456789") for _ in range(count - 1))

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def mistyped(self) -> bool:
        return self.random.random() < 1 / 6

    def day(self) -> tuple[int, int, int]:
        return self.random.randint(1935, 2024), self.random.randint(1, 12), self.random.randint(1, 28)

    def id_card(self, chinese: bool) -> str:
        year, month, day = self.day()
        body = self.pick("110105", "310104", "440305", "510107", "420111", "330106", "620102", "230103")
        if self.random.random() < 0.1 and year < 2000:
            return f"{body}{year % 100:02d}{month:02d}{day:02d}{self.digits(3)}"
        body += f"{year}{month:02d}{day:02d}{self.digits(3)}"
        rest = (12 - sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(body))) % 11
        check = "X" if rest == 10 else str(rest)
        if self.mistyped():
            check = "3" if check != "3" else "7"
        return body + check

    def phone(self, chinese: bool) -> str:
        if chinese:
            mobile = self.pick("138", "159", "186", "177", "199", "135", "150") + self.digits(8)
            return self.random.choice(
                [mobile] * 5
                + [
                    f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
                    f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
                    f"+86{mobile}",
                    f"{self.pick('010', '021', '0571', '0755')}-{self.digits(8, '23456789')}",
                    f"({self.pick('0531', '0731')}){self.digits(8, '23456789')}",
                    f"{mobile}转{self.digits(3)}",
                ]
            )
        area, middle, last = self.digits(3, "23456789"), self.digits(3, "23456789"), self.digits(4)
        return self.pick(
            f"({area}) {middle}-{last}",
            f"{area}-{middle}-{last}",
            f"{area}.{middle}.{last}",
            f"+1 {area} {middle} {last}",
            f"+44 20 {self.digits(4, '345789')} {self.digits(4)}",
            f"{area}-{middle}-{last} ext. {self.digits(3)}",
        )

    def bank_card(self, chinese: bool) -> str:
        prefix, length = self.random.choice(
            [("622202", 19), ("621700", 19), ("622848", 19), ("622588", 16), ("625965", 16)]
            if chinese
            else [("4539", 16), ("5254", 16), ("4716", 16), ("3782", 15), ("6011", 16)]
        )
        body = prefix + self.digits(length - len(prefix) - 1)
        check = next(d for d in "0123456789" if _luhn_sum(body + d) % 10 == 0)
        number = body + (str((int(check) + 1) % 10) if self.mistyped() else check)
        grouped = length in (16, 19) and self.random.random() < 0.4
        return " ".join(re.findall(".{1,4}", number)) if grouped else number

    def credit_code(self, chinese: bool) -> str:
        signs = "0123456789ABCDEFGHJKLMNPQRTUWXY"
        body = self.pick("91", "92", "52") + self.pick("110108", "310115", "440300") + "M"
        body = body[:8] + "".join(self.random.choice(signs) for _ in range(9))
        total = sum(signs.index(c) * 3**i for i, c in enumerate(body))
        check = signs[-total % 31]
        return body + (signs[(signs.index(check) + 1) % 31] if self.mistyped() else check)

    def passport(self, chinese: bool) -> str:
        if chinese:
            return self.pick("E" + self.digits(8), "G" + self.digits(8), "E" + self.pick("A", "B", "K") + self.digits(7))
        return self.pick(self.digits(9), "X" + self.digits(8), "C" + self.digits(8))

    def medical_record(self, chinese: bool) -> str:
        return self.pick(self.digits(8), "ZY" + self.digits(10), "00" + self.digits(6), "M" + self.digits(7))

    def insurance(self, chinese: bool) -> str:
        return self.pick(self.digits(10), "P" + self.digits(9), self.digits(12), "XWA" + self.digits(9))

    def licence_plate(self, chinese: bool) -> str:
        where = self.pick("京", "沪", "粤", "浙", "川", "鲁") + self.pick(*"ABCDEFG")
        if self.random.random() < 0.3:
            return where + self.pick("", "·") + self.pick("D", "F") + self.digits(5)
        return where + self.pick("", "·") + self.pick(*"ABCKMP") + self.digits(4)

    def email(self, chinese: bool) -> str:
        name = "".join(self.random.choice("abcdefghiklmnoprstuwz") for _ in range(6))
        return name + self.pick("", ".li", "_88", self.digits(3)) + self.pick("@163.com", "@qq.com", "@hospital.org.cn", "@mail.co.uk")

    def ip(self, chinese: bool) -> str:
        if self.random.random() < 0.2:
            return ":".join(f"{self.random.randint(0, 65535):x}" for _ in range(8))
        return ".".join(str(self.random.randint(1, 254)) for _ in range(4))

    def url(self, chinese: bool) -> str:
        host = "".join(self.random.choice("abcdefghiklmnoprstuwz") for _ in range(7))
        return self.pick("https://", "http://www.", "www.") + host + self.pick(".com", ".cn", ".net/u/") + self.pick("", "/p?id=88")

    def date(self, chinese: bool) -> str:
        year, month, day = self.day()
        if chinese:
            return self.pick(f"{year}年{month}月{day}日", f"{year}-{month:02d}-{day:02d}", f"{year}.{month:02d}.{day:02d}", f"{month}月{day}日")
        name = ("January February March April May June July August September October November December".split())[month - 1]
        return self.pick(f"{name} {day}, {year}", f"{month:02d}/{day:02d}/{year}", f"{day} {name[:3]} {year}", f"{month}/{day}/{year % 100:02d}", f"{name} {day}th")

    def birth_date(self, chinese: bool) -> str:
        year, month, day = self.day()
        return f"{year}年{month}月{day}日" if chinese else f"{month:02d}/{day:02d}/{year}"

    def age_over_89(self, chinese: bool) -> str:
        return str(self.random.randint(90, 108))

    def ssn(self, chinese: bool) -> str:
        return f"{self.random.randint(100, 665)}-{self.random.randint(10, 99)}-{self.digits(4, '123456789')}"

    def account(self, chinese: bool) -> str:
        if chinese:
            return self.digits(self.random.choice((12, 15, 17)), "123456789")
        if self.random.random() < 0.5:
            body = "".join(self.random.choice("ABCDEFGHKLMN") for _ in range(4)) + self.digits(14)
            check = 98 - int("".join(str(int(c, 36)) for c in body + "GB00")) % 97
            return f"GB{check:02d}{body}"
        return self.digits(self.random.choice((8, 10, 12)), "123456789")

    def vehicle(self, chinese: bool) -> str:
        values = {c: v for c, v in zip("ABCDEFGHJKLMNPRSTUVWXYZ", [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9], strict=True)}
        head, tail = self.pick("LSVAA418", "1HGCM826", "LFV2A21K"), self.pick("A", "C", "H") + self.pick("2", "4") + self.digits(6)
        weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]
        total = sum((values.get(c) or int(c)) * w for c, w in zip(head + "0" + tail, weights, strict=True)) % 11
        return head + ("X" if total == 10 else str(total)) + tail

    def device(self, chinese: bool) -> str:
        if self.random.random() < 0.4:
            return ":".join(f"{self.random.randint(0, 255):02X}" for _ in range(6))
        return self.pick("SN" + self.digits(8), self.digits(9), "PM-" + self.digits(6))

    def licence(self, chinese: bool) -> str:
        return self.digits(12, "123456789") if chinese else self.pick("D" + self.digits(7), self.digits(8))

    def name(self, chinese: bool) -> str:
        if chinese:
            return self.random.choice(self.lists["zh_surnames"]) + self.random.choice(self.lists["zh_given"])
        given, surname = self.random.choice(self.lists["en_names"])
        return self.pick(f"{given} {surname}", f"{given} {surname}", f"{given} {self.pick(*'ABCJLMR')}. {surname}")

    def address(self, chinese: bool) -> str:
        if chinese:
            place = self.pick(
                "浙江省杭州市西湖区", "江苏省南京市鼓楼区", "四川省成都市武侯区", "上海市浦东新区", "北京市海淀区", "广州市天河区", "武汉市", "湖北荆州",
                "岳麓区", "", "河南省周口市太康县", "山东省临沂市沂水县",
            )
            street = self.random.choice(self.lists["zh_streets"]).rstrip("路街道")
            room = f"{self.random.randint(1, 30)}{self.pick('幢', '栋', '号楼')}{self.random.randint(1, 5)}单元{self.random.randint(1, 20)}0{self.random.randint(1, 4)}室"
            estate = self.pick("翠苑小区", "金色家园", "紫荆花园", "锦绣华庭", "幸福里小区")
            if place.endswith("县"):
                return place + self.pick("高韦乡", "马头镇", "沙沟镇") + self.pick("前王村", "大刘庄村", "石桥村") + self.pick("", "3组", "27号")
            return place + self.pick(
                f"{street}{self.pick('路', '街', '大道')}{self.random.randint(1, 999)}号",
                f"{street}{self.pick('路', '街')}{self.random.randint(1, 999)}号{room}",
                f"{street}路{estate}{room}",
                f"{estate}{room}",
            )
        street = f"{self.random.randint(1, 9999)} {self.random.choice(self.lists['en_streets'])} {self.pick('Street', 'Avenue', 'Road', 'Lane', 'Drive', 'Court', 'Blvd', 'St.', *self.lists['en_suffixes'][:8])}"
        city = self.random.choice(self.lists["en_cities"])
        state = self.pick("CA", "TX", "NY", "IL", "OH", "WA")
        return self.pick(
            f"{street}, {city}, {state} {self.digits(5)}", f"{street}, Apt {self.random.randint(1, 40)}, {city}, {state} {self.digits(5)}", street, f"{city}, {state} {self.digits(5)}"
        )

    def decoy(self, chinese: bool) -> str:
        """Numbers that are nobody's."""
        make: list[Callable[[], str]] = [
            lambda: ("订单号" if chinese else "order no. ") + self.digits(20, "123456789"),
            lambda: ("合同金额" if chinese else "a total of ") + f"{self.random.randint(1, 9)},{self.digits(3)},{self.digits(3)}.{self.digits(2)}" + ("元" if chinese else " dollars"),
            lambda: ("共计" if chinese else "in all ") + "1" + self.digits(10, "3456789") + ("元" if chinese else " units"),
            lambda: ("体温" if chinese else "temperature ") + f"3{self.digits(1)}.{self.digits(1)}" + ("℃" if chinese else " C"),
            lambda: ("血压" if chinese else "blood pressure ") + f"{self.random.randint(100, 160)}/{self.random.randint(60, 100)}mmHg",
            lambda: ("校验值" if chinese else "checksum ") + hashlib.sha1(self.digits(9).encode()).hexdigest(),
            lambda: ("版本" if chinese else "version ") + f"{self.digits(1)}.{self.digits(2)}.{self.digits(1)}.{self.digits(3)}",
            lambda: ("批次" if chinese else "batch ") + self.digits(6, "123456789"),
            lambda: ("滴度1:64，血小板125×10^9/L" if chinese else "titre 1:64, platelets 125 x 10^9/L"),
            lambda: ("依照第一百二十条第2款" if chinese else "ICD code E11.9, CPT 99213"),
            lambda: ("流水" if chinese else "reading ") + "0." + self.digits(11),
            lambda: ("型号" if chinese else "model ") + "T" + self.digits(4),
            lambda: ("占比" if chinese else "share ") + f"{self.digits(2)}.{self.digits(8)}%",
        ]
        return self.random.choice(make)()


def _luhn_sum(number: str) -> int:
    return sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(reversed(number)))


# What stands before and after an identifier; without the word in front where the form says enough.
CHINESE: dict[str, list[tuple[str, str]]] = {
    "id_card": [("身份证号", "已登记"), ("", "已核验"), ("公民身份号码为", "的当事人"), ("持", "办理")],
    "phone": [("电话", "联系"), ("手机号", "停机"), ("请拨", "咨询"), ("", "来电"), ("联系方式：", "，")],
    "bank_card": [("卡号", "的卡片"), ("银行卡", "被冻结"), ("账户", "转出"), ("尾号所在卡", "已挂失")],
    "credit_code": [("统一社会信用代码", "的企业"), ("税号", "开票"), ("信用代码：", "，")],
    "passport": [("护照", "入境"), ("护照号码", "已注销"), ("持", "出境")],
    "medical_record": [("住院号", "的病历"), ("病历号：", "，"), ("门诊号为", "的"), ("病案号", "归档")],
    "insurance": [("医保号", "结算"), ("医保卡号：", "，"), ("保单号", "生效"), ("社保号", "停保")],
    "licence_plate": [("车牌号", "的轿车"), ("驾驶", "小型客车"), ("号牌为", "的货车"), ("", "违停")],
    "email": [("邮箱", "收取"), ("发至", "即可"), ("E-mail：", "，")],
    "ip": [("登录IP为", "的设备"), ("从", "访问"), ("地址", "异常")],
    "url": [("见", "所载"), ("网址", "下载"), ("登录", "查询")],
    "date": [("于", "入院"), ("", "到期"), ("截止", "未还"), ("手术日期：", "，")],
    "birth_date": [("出生日期", "，"), ("", "出生"), ("生于", "的人"), ("", "生，汉族")],
    "age_over_89": [("现年", "岁"), ("，", "岁高龄"), ("年龄：", "，")],
    "account": [("账号", "转账"), ("户头账号：", "，"), ("开户账号为", "的"), ("存折号", "取款")],
    "vehicle": [("车架号", "的车辆"), ("VIN码", "登记"), ("", "这台车")],
    "device": [("起搏器序列号", "植入"), ("设备号：", "，"), ("设备编号", "上线")],
    "licence": [("驾驶证号", "扣分"), ("执业证书编号：", "，"), ("驾驶证档案编号", "的")],
    "name": [("患者", "因腹痛就诊"), ("", "先生来电"), ("由", "签字确认"), ("被告人", "辩称"), ("联系人", "，"), ("经办人：", "，"), ("告诉", "，"), ("", "表示同意"), ("与", "协商"), ("医生", "查房"),
        ("", "女士投诉"), ("找", "借款"), ("病人", "的家属"), ("姓名：", "，男"), ("原告", "诉称"), ("其子", "代为办理"), ("主任", "会诊"), ("", "于昨日出院"), ("收款人为", "。"), ("，", "说")],
    "address": [("住址", "，"), ("家住", "的"), ("住在", "多年"), ("寄到", "，"), ("位于", "的房屋"), ("", "发生纠纷")],
}
ENGLISH: dict[str, list[tuple[str, str]]] = {
    "phone": [("call ", " today"), ("phone: ", ","), ("reached at ", "."), ("", " is the number")],
    "bank_card": [("card ", " was lost"), ("card number ", ","), ("visa ", " declined")],
    "passport": [("passport ", ","), ("passport no. ", " expired"), ("passport number: ", ".")],
    "medical_record": [("MRN ", ","), ("medical record number ", "."), ("chart no. ", ","), ("MRN: ", ";")],
    "insurance": [("policy number ", ","), ("member ID ", "."), ("insurance no. ", ","), ("Medicare number: ", ",")],
    "email": [("email ", " please"), ("write to ", "."), ("", ",")],
    "ip": [("from ", " at night"), ("IP address ", ","), ("host ", " blocked")],
    "url": [("see ", " for more"), ("website ", ","), ("at ", ".")],
    "date": [("on ", ","), ("admitted ", " with pain"), ("since ", "."), ("seen ", ",")],
    "birth_date": [("DOB ", ","), ("born on ", "."), ("date of birth: ", ","), ("birth date ", ",")],
    "age_over_89": [("a ", "-year-old woman"), ("she is ", " years old"), ("aged ", ","), ("a ", " y/o male")],
    "ssn": [("SSN ", ","), ("social security number ", "."), ("", ",")],
    "account": [("account number ", ","), ("IBAN ", "."), ("account no. ", " closed"), ("account: ", ",")],
    "vehicle": [("VIN ", ","), ("vehicle ", " was sold"), ("chassis no. ", ",")],
    "device": [("serial number ", ","), ("device ID ", "."), ("S/N: ", ",")],
    "licence": [("driver's license number ", ","), ("license no. ", "."), ("license number: ", ",")],
    "name": [("Mr. ", " called"), ("my name is ", "."), ("patient ", " reports pain"), ("spoke with ", " today"), ("", " said so"), ("Dr. ", " agrees"), ("signed by ", "."), ("for ", ","), ("her husband ", " and"), ("Mrs. ", " declined"), ("Name: ", ","), ("I am ", "."), ("nurse ", " noted"), ("referred by ", "."), ("", "'s results"), ("with ", " present"), ("customer ", " asked")],
    "address": [("lives at ", "."), ("address: ", ","), ("moved to ", " last week"), ("sent to ", ","), ("", " is the place")],
}


def documents(seed: int, half: int, count: int) -> Iterator[Document]:
    """Carrier, identifier, carrier; a decoy in half of them. Names and addresses make up three in ten."""
    maker = Maker(seed, half)
    pools = {True: carriers(chinese_sentences(), half)[: count * 2], False: carriers(english_sentences(), half)[: count * 2]}
    for number in range(count):
        chinese = maker.random.random() < 0.6
        phrases = CHINESE if chinese else ENGLISH
        share = maker.random.random()
        kind = "name" if share < 0.16 else "address" if share < 0.30 else maker.random.choice([k for k in PATTERNED if k in phrases])
        value = getattr(maker, kind)(chinese)
        choices = phrases[kind][half::2] if len(phrases[kind]) > 6 else phrases[kind]  # other words round names, too
        before, after = maker.random.choice(choices)
        if kind == "account" and not chinese:
            before = "IBAN " if value.startswith("GB") else before.replace("IBAN", "account no.")
        one, two = maker.random.choice(pools[chinese]), maker.random.choice(pools[chinese])
        glue = "" if chinese else " "
        head = one + glue + before
        tail = after + (("，" if chinese else " ") + maker.decoy(chinese) if number % 2 else "") + glue + two
        yield Document(head + value + tail, [Planted(len(head), len(head) + len(value), kind)])


# --- scores ---------------------------------------------------------------------------------------------------------


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    z, share = 1.959964, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - spread, middle + spread


def run_planted(docs: list[Document], show: bool) -> dict[str, Any]:
    kinds = frozenset(expand(["all"]))
    find_all(docs[0].text, kinds)
    found_of, exact_of, total_of, false_of = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    num_found, num_true, seconds, characters = 0, 0, 0.0, 0
    for doc in docs:
        begin = time.perf_counter()
        found = find_all(doc.text, kinds)
        seconds += time.perf_counter() - begin
        characters += len(doc.text)
        for planted in doc.planted:
            inside = [one for one in found if one.start < planted.end and planted.start < one.end]
            covered = set().union(*(range(one.start, one.end) for one in inside)) if inside else set()
            group = ("zh " if not doc.text.isascii() and re.search("[一-鿿]", doc.text) else "en ") + planted.kind
            total_of[group] += 1
            hit = set(range(planted.start, planted.end)) <= covered
            found_of[group] += hit
            exact_of[group] += any((one.start, one.end) == (planted.start, planted.end) for one in inside)
            if show and not hit:
                print("  MISSED", planted.kind, repr(doc.text[max(0, planted.start - 12) : planted.end + 12]), [doc.text[o.start : o.end] + ":" + o.kind for o in inside])
        for one in found:
            true = any(
                min(one.end, planted.end) - max(one.start, planted.start) > 0.5 * (one.end - one.start) for planted in doc.planted
            )
            num_found, num_true = num_found + 1, num_true + true
            false_of[one.kind] += not true
            if show and not true:
                print("  FALSE ", one.kind, repr(doc.text[max(0, one.start - 12) : one.start]), repr(doc.text[one.start : one.end]), repr(doc.text[one.end : one.end + 8]))
    return {
        "found": found_of, "exact": exact_of, "total": total_of, "false": false_of,
        "num_found": num_found, "num_true": num_true, "us_per_500": 1e6 * seconds / characters * 500,
    }


TYPES = {
    "PERSON": "name",
    "STREET_ADDRESS": "address",
    "CREDIT_CARD": "bank_card",
    "DATE_TIME": "date",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "DOMAIN_NAME": "url",
    "IBAN_CODE": "account",
    "US_SSN": "ssn",
    "IP_ADDRESS": "ip",
    "US_DRIVER_LICENSE": "licence",
}
SHARED = tuple(name for name in TYPES if name not in ("PERSON", "STREET_ADDRESS"))
"""Types for which presidio has a recogniser that needs no model."""


def synth_rows(half: int) -> list[dict[str, Any]]:
    rows = json.loads((DATA / "presidio_synth/synth_dataset_v2.json").read_text(encoding="utf-8"))
    return [row for row in rows if half_of(row["full_text"]) == half]


def ours(text: str, kinds: frozenset[str]) -> list[tuple[int, int, str]]:
    back = {kind: name for name, kind in TYPES.items()} | {"birth_date": "DATE_TIME"}
    return [(one.start, one.end, back[one.kind]) for one in find_all(text, kinds) if one.kind in back]


def presidio() -> Callable[[str], list[tuple[int, int, str]]]:
    """presidio's own pattern recognisers, the best span where they overlap; the threshold of its analyzer (0)."""
    import tldextract
    from presidio_analyzer import EntityRecognizer
    from presidio_analyzer import predefined_recognizers as all_of

    # Its e-mail recogniser would download the list of public suffixes; the copy in the package does.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
    made = [
        all_of.CreditCardRecognizer(), all_of.DateRecognizer(), all_of.PhoneRecognizer(), all_of.EmailRecognizer(),
        all_of.UrlRecognizer(), all_of.IbanRecognizer(), all_of.UsSsnRecognizer(), all_of.IpRecognizer(), all_of.UsLicenseRecognizer(),
    ]

    def find(text: str) -> list[tuple[int, int, str]]:
        found = [one for recogniser in made for one in recogniser.analyze(text, recogniser.supported_entities, None)]
        # Below .3 lie the patterns that presidio calls very weak and only keeps where a context word lifts them.
        found = EntityRecognizer.remove_duplicates([one for one in found if one.score >= 0.3])
        kept: list[Any] = []
        for one in sorted(found, key=lambda one: (-one.score, one.start - one.end)):
            if not any(one.start < other.end and other.start < one.end for other in kept):
                kept.append(one)
        return [(one.start, one.end, "DOMAIN_NAME" if one.entity_type == "URL" else one.entity_type) for one in kept]

    return find


def span_f1(rows: list[dict[str, Any]], find: Callable[[str], list[tuple[int, int, str]]], exact: bool, show: str = "") -> dict[str, tuple[float, float, float, int]]:
    """(precision, recall, F1, gold spans) per type. Neighbouring gold pieces of one address are one."""
    hits, said, gold = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        text = row["full_text"]
        truth = [(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]]
        found = find(text)
        for name in TYPES:
            true = [(a, b) for a, b, kind in truth if kind == name]
            # A zip code or an apartment inside an address that was found is no false alarm, nor is a place.
            other = [(a, b) for a, b, kind in truth if kind in ("ZIP_CODE", "GPE") and name == "STREET_ADDRESS"]
            mine = [(a, b) for a, b, kind in found if kind == name]
            gold[name] += len(true)
            if exact:
                hits[name] += len(set(true) & set(mine))
                said[name] += len(mine)
            else:
                hits[name] += sum(any(a < d and c < b for c, d in mine) for a, b in true)
                wrong = [(a, b) for a, b in mine if not any(a < d and c < b for c, d in true + other)]
                said[name] += sum(any(a < d and c < b for c, d in mine) for a, b in true) + len(wrong)
                if show == name or show == "all":
                    for a, b in wrong:
                        print("  FALSE ", name, repr(text[max(0, a - 15) : a]), repr(text[a:b]), repr(text[b : b + 10]))
                    for a, b in true:
                        if not any(a < d and c < b for c, d in mine):
                            print("  MISSED", name, repr(text[max(0, a - 15) : a]), repr(text[a:b]), repr(text[b : b + 10]))
    result = {}
    for name in TYPES:
        precision = hits[name] / said[name] if said[name] else 0.0
        recall = hits[name] / gold[name] if gold[name] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        result[name] = (precision, recall, f1, gold[name])
    return result


def main(dev: bool, count: int, show: str, keep: bool) -> None:
    half = 0 if dev else 1
    docs = list(documents(seed=7 if dev else 20261124, half=half, count=count))
    result = run_planted(docs, show=dev and show != "none")
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    print(f"{'planted':22} {'n':>5} {'found':>6} {'exact':>6}   95 %")
    for group in sorted(result["total"]):
        total, hit, exact = result["total"][group], result["found"][group], result["exact"][group]
        low, high = wilson(hit, total)
        print(f"{group:22} {total:5} {hit / total:6.3f} {exact / total:6.3f}   {low:.3f} to {high:.3f}")
        bucket = table["names_addresses" if group[3:] in ("name", "address") else "patterned"]
        for place, value in enumerate((total, hit, exact)):
            bucket[place] += value
    for bucket_name, (total, hit, exact) in table.items():
        print(f"{bucket_name:22} {total:5} {hit / total:6.3f} {exact / total:6.3f}   {wilson(hit, total)}")
    precision = result["num_true"] / result["num_found"]
    print(f"precision {precision:.3f} of {result['num_found']} {wilson(result['num_true'], result['num_found'])}; false: {dict(result['false'])}")
    print(f"{result['us_per_500']:.0f} us per 500 characters, all kinds")

    rows = synth_rows(half)
    kinds = frozenset({*TYPES.values(), "birth_date"})
    theirs = presidio()
    figures = {}
    for who, find in (("ours", lambda text: ours(text, kinds)), ("presidio", theirs)):
        for exact in (True, False):
            figures[who, exact] = span_f1(rows, find, exact, show if who == "ours" and not exact and dev else "")
    print(f"presidio_synth, {len(rows)} rows; presidio without a model\n{'type':18} {'n':>4}  ours: exact  overlap   presidio: exact  overlap")
    for name in TYPES:
        o, l, p, q = (figures[w, e][name] for w in ("ours", "presidio") for e in (True, False))
        print(f"{name:18} {o[3]:4}        {o[2]:.3f}    {l[2]:.3f} ({l[0]:.2f}/{l[1]:.2f})   {p[2]:.3f}    {q[2]:.3f} ({q[0]:.2f}/{q[1]:.2f})")
    macro = {who: sum(figures[who, True][name][2] for name in SHARED) / len(SHARED) for who in ("ours", "presidio")}
    loose = {who: sum(figures[who, False][name][2] for name in SHARED) / len(SHARED) for who in ("ours", "presidio")}
    print(f"macro F1 over {len(SHARED)} shared types: exact {macro}, overlap {loose}")
    if dev or not keep:
        return
    for claim, bucket_name, goal in (
        ("data.privacy_recall_patterned", "patterned", ">= 0.98"),
        ("data.privacy_recall_names_addresses", "names_addresses", ">= 0.9"),
    ):
        total, hit, _ = table[bucket_name]
        low, high = wilson(hit, total)
        record(claim, round(hit / total, 4), low=round(low, 4), high=round(high, 4), n=total, unit="planted identifiers covered whole", goal=goal)
    low, high = wilson(result["num_true"], result["num_found"])
    record("data.privacy_precision", round(precision, 4), low=round(low, 4), high=round(high, 4), n=result["num_found"], unit="spans found that were planted", goal=">= 0.95")
    unit = f"macro exact-span F1 over {len(SHARED)} types, held-out half of presidio_synth"
    record("data.privacy_presidio_f1", round(macro["ours"], 4), n=len(rows), unit=unit)
    record("data.privacy_presidio_f1_presidio", round(macro["presidio"], 4), n=len(rows), unit=unit + "; presidio 2.2.366 without a model")
    record("data.privacy_us_per_500_characters", round(result["us_per_500"], 1), n=len(docs), unit="microseconds, all kinds, one core", goal="<= 300")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="the other halves; records nothing")
    parser.add_argument("--count", type=int, default=NUM_PLANTED)
    parser.add_argument("--show", default="", help="with --dev: a type of presidio_synth whose mistakes are printed, all, or none")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    arguments = parser.parse_args()
    main(arguments.dev, arguments.count, arguments.show, not arguments.dry)
