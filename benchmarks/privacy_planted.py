"""The generator of the privacy benchmark: identifiers with check digits of its own, planted in real sentences.

Nothing of `yibu.detectors` is imported here, so that a mistake there is not made here too.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

DATA = Path("/work/shared/data")
HELD_OUT = Path(__file__).with_name("privacy_heldout.json")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
PATTERNED = (
    "id_card",
    "phone",
    "bank_card",
    "credit_code",
    "passport",
    "medical_record",
    "insurance",
    "licence_plate",
    "email",
    "ip",
    "url",
    "date",
    "birth_date",
    "age_over_89",
    "ssn",
    "account",
    "vehicle",
    "device",
    "licence",
)

# What a sentence may not hold, for then it holds personal data that nobody planted.
_REAL = re.compile(
    r"(?:19|20)\d\d|\d+/\d+/\d+|@|1\d\d-?\d{4}|[某X×Ｘ*]|\d月|[一二三四五六七八九十]月|先生|女士|上诉人|"
    r"代理人|签字|医生|被告人|原告|"
    r"(?i:\bage (?:of )?9\d|\b9\d[ -]y|\b(?:mr|mrs|ms|dr|doctor|miss|january|february|march|april|june|july|"
    r"august|september|october|november|december)\b)"
)
# Fictional parties of exam questions, and runs of capitalised words.
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
    for name in ("ValidationSet", "TestSet-1-MEDIQA-Chat-2023"):  # the word list of the detectors saw the other
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
            return self.pick(
                "E" + self.digits(8), "G" + self.digits(8), "E" + self.pick("A", "B", "K") + self.digits(7)
            )
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
        return (
            name
            + self.pick("", ".li", "_88", self.digits(3))
            + self.pick("@163.com", "@qq.com", "@hospital.org.cn", "@mail.co.uk")
        )

    def ip(self, chinese: bool) -> str:
        if self.random.random() < 0.2:
            return ":".join(f"{self.random.randint(0, 65535):x}" for _ in range(8))
        return ".".join(str(self.random.randint(1, 254)) for _ in range(4))

    def url(self, chinese: bool) -> str:
        host = "".join(self.random.choice("abcdefghiklmnoprstuwz") for _ in range(7))
        return (
            self.pick("https://", "http://www.", "www.")
            + host
            + self.pick(".com", ".cn", ".net/u/")
            + self.pick("", "/p?id=88")
        )

    def date(self, chinese: bool) -> str:
        year, month, day = self.day()
        if chinese:
            return self.pick(
                f"{year}年{month}月{day}日",
                f"{year}-{month:02d}-{day:02d}",
                f"{year}.{month:02d}.{day:02d}",
                f"{month}月{day}日",
            )
        name = MONTHS[month - 1]
        return self.pick(
            f"{name} {day}, {year}",
            f"{month:02d}/{day:02d}/{year}",
            f"{day} {name[:3]} {year}",
            f"{month}/{day}/{year % 100:02d}",
            f"{name} {day}th",
        )

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
        values = {
            c: v
            for c, v in zip(
                "ABCDEFGHJKLMNPRSTUVWXYZ",
                [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9],
                strict=True,
            )
        }
        head, tail = (
            self.pick("LSVAA418", "1HGCM826", "LFV2A21K"),
            self.pick("A", "C", "H") + self.pick("2", "4") + self.digits(6),
        )
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
                "浙江省杭州市西湖区",
                "江苏省南京市鼓楼区",
                "四川省成都市武侯区",
                "上海市浦东新区",
                "北京市海淀区",
                "广州市天河区",
                "武汉市",
                "湖北荆州",
                "岳麓区",
                "",
                "河南省周口市太康县",
                "山东省临沂市沂水县",
            )
            street = self.random.choice(self.lists["zh_streets"]).rstrip("路街道")
            house, stair = self.random.randint(1, 30), self.random.randint(1, 5)
            flat = f"{self.random.randint(1, 20)}0{self.random.randint(1, 4)}"
            room = f"{house}{self.pick('幢', '栋', '号楼')}{stair}单元{flat}室"
            estate = self.pick("翠苑小区", "金色家园", "紫荆花园", "锦绣华庭", "幸福里小区")
            if place.endswith("县"):
                return (
                    place
                    + self.pick("高韦乡", "马头镇", "沙沟镇")
                    + self.pick("前王村", "大刘庄村", "石桥村")
                    + self.pick("", "3组", "27号")
                )
            return place + self.pick(
                f"{street}{self.pick('路', '街', '大道')}{self.random.randint(1, 999)}号",
                f"{street}{self.pick('路', '街')}{self.random.randint(1, 999)}号{room}",
                f"{street}路{estate}{room}",
                f"{estate}{room}",
            )
        suffixes = ("Street", "Avenue", "Road", "Lane", "Drive", "Court", "Blvd", "St.", *self.lists["en_suffixes"][:8])
        road = f"{self.random.choice(self.lists['en_streets'])} {self.pick(*suffixes)}"
        street = f"{self.random.randint(1, 9999)} {road}"
        city = self.random.choice(self.lists["en_cities"])
        state = self.pick("CA", "TX", "NY", "IL", "OH", "WA")
        return self.pick(
            f"{street}, {city}, {state} {self.digits(5)}",
            f"{street}, Apt {self.random.randint(1, 40)}, {city}, {state} {self.digits(5)}",
            street,
            f"{city}, {state} {self.digits(5)}",
        )

    def decoy(self, chinese: bool) -> str:
        """Numbers that are nobody's."""
        make: list[Callable[[], str]] = [
            lambda: ("订单号" if chinese else "order no. ") + self.digits(20, "123456789"),
            lambda: (
                ("合同金额" if chinese else "a total of ")
                + f"{self.random.randint(1, 9)},{self.digits(3)},{self.digits(3)}.{self.digits(2)}"
                + ("元" if chinese else " dollars")
            ),
            lambda: (
                ("共计" if chinese else "in all ") + "1" + self.digits(10, "3456789") + ("元" if chinese else " units")
            ),
            lambda: (
                ("体温" if chinese else "temperature ")
                + f"3{self.digits(1)}.{self.digits(1)}"
                + ("℃" if chinese else " C")
            ),
            lambda: (
                ("血压" if chinese else "blood pressure ")
                + f"{self.random.randint(100, 160)}/{self.random.randint(60, 100)}mmHg"
            ),
            lambda: ("校验值" if chinese else "checksum ") + hashlib.sha1(self.digits(9).encode()).hexdigest(),
            lambda: (
                ("版本" if chinese else "version ")
                + f"{self.digits(1)}.{self.digits(2)}.{self.digits(1)}.{self.digits(3)}"
            ),
            lambda: ("批次" if chinese else "batch ") + self.digits(6, "123456789"),
            lambda: "滴度1:64，血小板125×10^9/L" if chinese else "titre 1:64, platelets 125 x 10^9/L",
            lambda: "依照第一百二十条第2款" if chinese else "ICD code E11.9, CPT 99213",
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
    "name": [
        ("患者", "因腹痛就诊"),
        ("", "先生来电"),
        ("由", "签字确认"),
        ("被告人", "辩称"),
        ("联系人", "，"),
        ("经办人：", "，"),
        ("告诉", "，"),
        ("", "表示同意"),
        ("与", "协商"),
        ("医生", "查房"),
        ("", "女士投诉"),
        ("找", "借款"),
        ("病人", "的家属"),
        ("姓名：", "，男"),
        ("原告", "诉称"),
        ("其子", "代为办理"),
        ("主任", "会诊"),
        ("", "于昨日出院"),
        ("收款人为", "。"),
        ("，", "说"),
    ],
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
    "name": [
        ("Mr. ", " called"),
        ("my name is ", "."),
        ("patient ", " reports pain"),
        ("spoke with ", " today"),
        ("", " said so"),
        ("Dr. ", " agrees"),
        ("signed by ", "."),
        ("for ", ","),
        ("her husband ", " and"),
        ("Mrs. ", " declined"),
        ("Name: ", ","),
        ("I am ", "."),
        ("nurse ", " noted"),
        ("referred by ", "."),
        ("", "'s results"),
        ("with ", " present"),
        ("customer ", " asked"),
    ],
    "address": [
        ("lives at ", "."),
        ("address: ", ","),
        ("moved to ", " last week"),
        ("sent to ", ","),
        ("", " is the place"),
    ],
}


def documents(seed: int, half: int, count: int) -> Iterator[Document]:
    """Carrier, identifier, carrier; a decoy in half of them. Names and addresses make up three in ten."""
    maker = Maker(seed, half)
    pools = {
        True: carriers(chinese_sentences(), half)[: count * 2],
        False: carriers(english_sentences(), half)[: count * 2],
    }
    for number in range(count):
        chinese = maker.random.random() < 0.6
        phrases = CHINESE if chinese else ENGLISH
        share = maker.random.random()
        kind = (
            "name"
            if share < 0.16
            else "address"
            if share < 0.30
            else maker.random.choice([k for k in PATTERNED if k in phrases])
        )
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
