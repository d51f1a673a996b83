"""Chinese addresses: a chain of provinces, cities and counties from the list, then streets, numbers, buildings, rooms.

Text has no spaces, so an address has to be told where it begins: at a listed place, after 住址 and the like, or a few
characters before a street with a house number.
"""

from __future__ import annotations

import functools
import re

from yibu.detectors._found import Found
from yibu.detectors._lists import chinese_places

# Characters that hardly occur in the name of a street or an estate, but around it.
_STOP = (
    "的了在于和与被将把因至到从向为是对等住及或并其该此我你他她它们这那有无未不也都就还请送寄往去来自位址发由经"
    "，。；：、！？,.;:!?（）()“”\"'\\s"
)
_HAN = rf"(?:(?![{_STOP}])[\u4e00-\u9fffA-Za-z0-9])"
_NUMBER = r"(?:[0-9]{1,5}(?:[-—之][0-9]{1,4})?|[一二三四五六七八九十百]{1,4}|[A-Za-z][0-9]{0,4}|[甲乙丙丁东西南北])"
_AREA = (
    r"(?:街道办?|镇|乡|苏木|村委会|行政村|自然村|村|社区|居委会|开发区|高新区|新区|工业园区?|产业园|园区|科技园|"
    r"软件园|林场|农场|区|县|市)"
)
_ROAD = r"(?:大街|大道|环路|公路|马路|支路|路|街|巷|胡同|(?:弄|里|道|条|段)(?=[0-9]))"
_ESTATE = (
    r"(?:小区|花园|花苑|家园|佳苑|新苑|公寓|大厦|广场|新村|名苑|山庄|庄园|别墅|城|苑|府|庭|轩|居|湾|园|院|楼|"
    r"宿舍|中心|国际|屯|庄|组|队)"
)
_UNIT = r"(?:号楼|号院|号|號|弄|栋|幢|座|楼|层|室|单元|组|房|户|门|队|院|铺|巷|村|区|期|支弄)"
_PART = (
    rf"(?:[ ,，]?(?:{_HAN}{{1,7}}?{_AREA}|和?{_HAN}{{1,9}}?{_ROAD}(?:[东西南北中]段)?|"
    rf"{_NUMBER}{_UNIT}(?:[东西南北]侧)?|(?<=[号楼栋幢座元层室])-?[0-9]{{1,4}}(?:室|号|房)?))"
)
_REST = re.compile(
    rf"{_PART}{{0,9}}(?:{_HAN}{{1,7}}?{_ESTATE}(?={_NUMBER}{_UNIT})(?:{_NUMBER}{_UNIT}){{1,4}}-?[0-9]{{0,4}}室?)?{_PART}{{0,3}}"
)
_ESTATE_END = re.compile(rf"{_HAN}{{2,7}}?(?:小区|花园|花苑|家园|公寓|新村|大厦)")
_LEVEL = re.compile("[省市区县旗州盟]")
_FINE = re.compile(rf"{_ROAD}|{_NUMBER}{_UNIT}|镇|乡|街道|村|社区|小区|花园|公寓")
_HOUSE = re.compile(
    rf"(?:(?:{_ROAD})(?:[东西南北中]段)?[0-9]{{1,5}}(?:[-—之][0-9]{{1,4}})?[号號弄]|(?:小区|花园|花苑|家园|"
    rf"公寓|新村|新苑|佳苑|山庄|大厦|广场|村|苑|城|府|庭|园)"
    rf"{_NUMBER}(?:号楼|栋|幢|座|号院|区[0-9]{{1,3}}[栋幢号])|(?:镇|乡|"
    rf"街道)(?:(?![{_STOP}])[\u4e00-\u9fff]){{1,4}}村{_NUMBER}[组队社号])"
)
_CONTEXT = re.compile(
    r"(?:[家庭现居通讯联系户籍工作单位经常收货寄送快递暂注册办公]{0,6}(?:住址|地址|住所地?|所在地|户籍地)|"
    r"现住|家住|居住[于在地]|户籍|籍贯|户口|暂住[于在地]?|住[在于]|送[至到]|寄[至到]|搬[至到])"
    r"[ \t]*(?:[:：为是在于]|地址)?[ \t]*[:：]?[ \t]*"
)
_INTRODUCED = re.compile(_CONTEXT.pattern + "$")
_LEFT_STOP = re.compile(rf"[{_STOP}\u0000-\u00ff\ue000]")
_OFFICE = re.compile(
    r"[\u4e00-\u9fff]{0,6}?(?:人民法院|法院|检察院|公安|分局|派出所|政府|委员会|医院|卫生院|学校|大学|小学|"
    r"中学|有限|公司|集团|银行|支行|局|厅|委|中级|高级|党|人大|仲裁|看守所|监狱|认证|中心|市场|部门|单位|支队|大队|监察|纪委|街道办)"
)
_NUMBERED = re.compile("[0-9一二三四五六七八九十百甲乙丙丁A-Z][号號弄栋幢座组队社区]")
_PLACED = re.compile(rf"{_NUMBER}{_UNIT}|[0-9]$|(?:路|街|巷|小区|花园|公寓|大厦)$|(?:[镇乡县]|街道)[^，。]{{1,8}}村$")
_ZIP = re.compile(r"(?:邮编|邮政编码|郵編)[ \t]*[:：为是]?[ \t]*([0-9]{6})(?![0-9])")


@functools.cache
def _places() -> tuple[frozenset[str], frozenset[str]]:
    """(full names, short names without 省 and 市)."""
    provinces, prefectures, counties = chinese_places()
    short = {re.sub("(?:维吾尔|壮族|回族)?自治区$|特别行政区$|省$|市$", "", name) for name in provinces}
    short |= {name[:-1] for name in prefectures if name.endswith("市") and len(name) > 2}
    return provinces | prefectures | counties, frozenset(short)


def find(text: str) -> list[Found]:
    """Addresses and postcodes of Chinese form."""
    if text.isascii():
        return []
    spans = [*_chains(text), *_houses(text), *_introduced(text)]
    spans += [match.span(1) for match in _ZIP.finditer(text)]
    kept: list[tuple[int, int]] = []
    for start, end in sorted(set(spans), key=lambda span: (span[0] - span[1], span)):
        if not any(start < other[1] and other[0] < end for other in kept):
            kept.append((start, end))
    return [Found(start, end, "address", False) for start, end in sorted(kept)]


def _chains(text: str) -> list[tuple[int, int]]:
    """Listed places one after the other, with the streets and numbers behind them."""
    full, short = _places()
    result = []
    done = 0
    for match in _LEVEL.finditer(text):
        end = match.end()
        if end <= done:
            continue
        start = next((end - size for size in range(min(11, end - done), 1, -1) if text[end - size : end] in full), None)
        if start is None:
            continue
        chain = _with_places(text, start, short, done)
        while True:  # further levels right behind
            further = next(
                (size for size in range(11, 1, -1) if text[end : end + size] in full and len(text) >= end + size), None
            )
            if further is None:
                break
            end += further
        rest = _REST.match(text, end)
        stop = rest.end() if rest is not None else end
        tail = text[end:stop]
        fine = _FINE.search(tail) is not None
        office = _OFFICE.match(text, stop) is not None or _OFFICE.match(text, end) is not None
        introduced = _INTRODUCED.search(text, max(0, chain - 12), chain) is not None
        if (fine and (not office or re.search(rf"{_NUMBER}[号弄栋幢室]", tail))) or (introduced and not office):
            result.append((chain, stop))
            done = stop
        else:
            done = end
    return result


def _with_places(text: str, start: int, short: frozenset[str], least: int) -> int:
    """Where the address begins when listed places in short form (浙江杭州) stand right before it."""
    for size in (3, 2, 3, 2):
        if start - size >= least and text[start - size : start] in short:
            start -= size
    return start


def _houses(text: str) -> list[tuple[int, int]]:
    """A street with a house number, or an estate with a building, without any listed place before it."""
    result: list[tuple[int, int]] = []
    if not _NUMBERED.search(text):
        return result
    _, short = _places()
    for match in _HOUSE.finditer(text):
        left = match.start()
        while left > max(0, match.start() - 16) and not _LEFT_STOP.match(text[left - 1]):
            left -= 1
        if left == match.start():
            continue
        # From a listed place in front, else as far as names of streets and estates are long.
        places = (
            place for place in range(left, match.start()) if {text[place : place + 2], text[place : place + 3]} & short
        )
        start = next(places, max(left, match.start() - 8))
        rest = _REST.match(text, match.end())
        result.append((start, rest.end() if rest is not None else match.end()))
    return result


def _introduced(text: str) -> list[tuple[int, int]]:
    """What stands after 住址 and its like, as far as it has the form of an address."""
    result = []
    if (
        "住" not in text
        and "址" not in text
        and "户" not in text
        and "籍" not in text
        and "送" not in text
        and "寄" not in text
    ):
        return []
    for match in _CONTEXT.finditer(text):
        rest = _REST.match(text, match.end())
        end = rest.end() if rest is not None else match.end()
        estate = _ESTATE_END.match(text, end)
        if estate is not None:
            rest = _REST.match(text, estate.end())
            end = rest.end() if rest is not None else estate.end()
        if _PLACED.search(text, match.end(), end):
            result.append((match.end(), end))
    return result
