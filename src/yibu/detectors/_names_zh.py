"""Chinese names in running text, which has no spaces and no capitals.

A candidate is a surname and one or two characters. What speaks for it is added up as log-odds: how much more frequent
each character is at its place in a name than in text (counted in a word list), a title or a role beside it (患者, 医生,
先生), and what speaks against it: it, or a part of it with its neighbours, is a word (高血压, 主张, 明天).
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from yibu.detectors._found import Found
from yibu.detectors._lists import NameCharacters, chinese_words, name_characters, spaced

COMPOUND = spaced(
    "欧阳 上官 司马 诸葛 皇甫 司徒 慕容 令狐 长孙 宇文 东方 公孙 轩辕 尉迟 南宫 夏侯 独孤 端木 万俟 闻人 "
    "申屠 钟离 呼延 拓跋 赫连 澹台 宗政 濮阳 淳于 太叔 仲孙 鲜于 闾丘 司空 "
    "西门 百里 东郭 公冶 乐正 完颜 纳兰"
)
"""Surnames of two characters (from 百家姓)."""

# Words right before a name. Strong: what follows is a name or a pronoun. Weak: often a name, often something else.
_STRONG = re.compile(
    r"(?:姓名|名字|患者|病人|病员|产妇|患儿|被告人|被告|原告|上诉人|被上诉人|申请人|被申请人|被害人|受害人|"
    r"嫌疑人|罪犯|证人|第三人|代理人|"
    r"辩护人|负责人|代表人|联系人|收件人|收款人|付款人|持卡人|开户人|户主|投保人|被保险人|受益人|委托人|"
    r"监护人|经办人|借款人|担保人|出借人|"
    r"主治医师|主任医师|主治医生|医师签名|医生签名|责任护士|签名|签字|本人|我叫|名叫|叫做|我是|客户|会员|员工|"
    r"同事|同学|朋友|室友|邻居|"
    r"家属|丈夫|妻子|老公|老婆|父亲|母亲|儿子|女儿|哥哥|弟弟|姐姐|妹妹|前夫|前妻|医生|大夫|护士|主任|教授|"
    r"法官|律师|经理|老师|书记员|审判长|审判员|"
    r"主刀|术者|麻醉师|记录者|报告者|审核者|家长|村民|司机|驾驶员|民警|店主|房东|租客|经理人|业主)"
    r"(?:姓名|名字|名|签名|签字|为|是|叫)?[ \t]*(?:[:：(]|\)[:：]?)?[ \t]*$"
)
_WEAK = frozenset('叫找由给向让请替代经与和同及跟、，,。；：: \t\n“"(（《')
_LABEL_ENDS = frozenset(
    "名字者人员妇儿告犯主师士本我户客事学友居属夫妻公婆亲母哥弟姐妹生任授官律理老记长刀术核民机警东家叫是为签 \t:：(）)"
)
# Words right after one.
_TITLE = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|医生|医师|大夫|主任|护士长?|教授|博士|老师|同学|同志|律师|法官|经理|总监|"
    r"院长|科长|处长|局长|书记|师傅|主治|"
    r"警官|检察官|董事长|总经理|老人|阿姨|叔叔|大爷|大妈|奶奶|爷爷)"
)
_PERSON_AFTER = re.compile(
    r"[ \t]*[,，(（、]?[ \t]*(?:男|女)(?:性)?(?=[ ,，、)）0-9]|$)|[ \t]*[（(](?:身份证|男|女|以下简称|电话|患者|家属)|"
    r"[,，]?(?:身份证|住院号|病历号|电话|手机|联系电话|住址|出生|现年|年龄|性别|住)|的(?:身份证|电话|手机|"
    r"账户|银行卡|病历|住址|家属|儿子|女儿|妻子|丈夫)|"
    r"[,，]?[0-9]{1,3}岁|因[^，。]{0,8}(?:入院|就诊|来诊)|于[0-9]{4}年|(?:入院|就诊|来诊|办理|签署|签收|缴费|"
    r"出院|复诊|提起|诉称|辩称|到庭|挂失|开户|申请)"
)
# With what the three patterns above can begin: without one of these, what follows adds little.
_AFTER_STARTS = frozenset(
    "先女小太夫医大主护教博老同律法经总院科处局书师警检董阿叔奶爷男 \t,，(（、[身住病电手联出现年性的"
    "0123456789因于入就来办签缴"
    "复提诉辩到挂开申表协告回致要承陈反投咨借转至起称述供查介忆透指负陪驾居向自本"
)
_BOUNDARY = frozenset("说称表认告已未在与和及将向到于的来去等被对也都给自是有，。、；,;)） \n")
_PERSON_VERB = re.compile(
    "表示|签字|签名|协商|告诉|回复|来电|致电|要求|承认|陈述|反映|投诉|咨询|借款|转账|签订|签署|诉至|起诉|辩称|诉称|述称|供述|查房|主刀|同意|"
    "介绍|回忆|透露|指出|提出|负责|陪同|驾驶|居住|向[^，。]{1,8}[借购支]|自述|主诉|本人"
)
# A firm, an office or a place follows: the characters are a part of its name.
_THING_AFTER = re.compile(
    "公司|集团|有限|科技|软件|银行|医院|学校|委员会|法院|检察院|[省市县区镇乡村路街巷盟旗州]|大学|中学|小学|大厦|花园|小区|派出所|仲裁|"
    "实业|建筑|物业|药业|法律|条例|规定|办法|中心|组织|机构|系统|工程|病(?!历)|症|炎|药|[0-9]*(?:mg|ml|片|次|元)"
)
_PREPOSITIONS = frozenset("于向和对从由把同为有与及过方时都经成应还在到以来去未就可能则且本各每该此其后相别全连任费班")
_NEVER_LAST = frozenset("村镇县市区乡省路街局厅院庄某等")
_NOT_ALONE = _PREPOSITIONS
_TRANSLITERATED = (
    "阿艾巴拜贝本比别伯卜布查达戴德迪丁东杜多尔法菲费弗佛格古哈海汗赫亨胡吉加贾杰金卡凯坎科克肯库拉莱兰朗勒雷力里丽"
    "利莉列林琳卢鲁伦罗洛马玛买迈麦曼梅蒙米莫姆木穆娜纳南内尼妮努诺欧帕佩皮普奇齐乔切日茹瑞萨赛桑沙莎山圣史斯松苏"
    "索塔泰坦汤特提图托瓦万旺威维温沃乌西希夏肖谢辛雅亚扬耶伊依英尤约泽扎詹珍朱兹孜江提合吐热孜苏"
)
_DOTTED = re.compile(rf"[{_TRANSLITERATED}]{{2,6}}(?:[·•・][{_TRANSLITERATED}]{{1,7}}){{1,3}}")

RARE = 8
"""Log-odds x 10 of a character that the word lists do not know: outside names it is hardly ever met."""

_NEVER = -999
THRESHOLD = 3
"""Log-odds x 10 from which on a candidate is a name; set on the half of lawbench without figures."""


class _Tables(NamedTuple):
    characters: NameCharacters
    words: frozenset[str]
    candidate: re.Pattern[str]
    titled: re.Pattern[str]


@functools.cache
def _tables() -> _Tables:
    characters = name_characters()
    surnames = "".join(sorted(characters.surname))
    unlikely = "".join(sorted(c for c in characters.first if max(characters.first[c], characters.only[c]) < -14))
    firsts = "".join(sorted({name[0] for name in COMPOUND}))
    seconds = "".join(sorted({name[1] for name in COMPOUND}))
    candidate = re.compile(f"(?:[{surnames}](?=(?![{unlikely}])[\u4e00-\u9fff])|[{firsts}](?=[{seconds}]))")
    frequent = "".join(sorted(c for c, odds in characters.surname.items() if odds > -38 and c not in _NOT_ALONE))
    titled = re.compile(f"(?:{'|'.join(sorted(COMPOUND))}|[{frequent}])(?={_TITLE.pattern})")
    return _Tables(characters, chinese_words(), candidate, titled)


def find(text: str) -> list[Found]:
    """Names of Chinese form in a text, and dotted transliterations (买买提·艾力)."""
    if text.isascii():
        return []
    tables = _tables()
    result: list[Found] = []
    end = 0
    for match in tables.candidate.finditer(text):
        start = match.start()
        if start < end:
            continue
        follows = bool(result) and result[-1].end >= start - 1
        best = _best(text, start, tables, follows)
        if best is not None:
            # A surname that begins inside may begin the better name: 于是李伟, 和平李伟.
            later = _best(text, start + 1, tables, follows) if text[start + 1] in tables.characters.surname else None
            if later is not None and later[1] > best[1] + (0 if text[start] in _PREPOSITIONS else 20):
                continue
            end = best[0]
            result.append(Found(start, end, "name", False))
    for match in tables.titled.finditer(text):
        start = match.start()
        if not any(one.start <= start < one.end for one in result) and not _is_word(text, start, tables):
            result.append(Found(start, match.end(), "name", False))
    if "·" in text or "•" in text or "・" in text:
        result = [one for one in result if text[one.end : one.end + 1] not in "·•・" or one.end == len(text)]
        dotted = [Found(*match.span(), "name", False) for match in _DOTTED.finditer(text)]
        result = [one for one in result if not any(one.start < two.end and two.start < one.end for two in dotted)]
        result += dotted
    return sorted(result)


def _is_word(text: str, start: int, tables: _Tables) -> bool:
    """Whether the character is a part of a word with its neighbours: 班主任 is no Mr Ban."""
    pairs = (text[start - 1 : start + 1], text[start : start + 2], text[start : start + 3])
    return any(pair in tables.words for pair in pairs)


def _best(text: str, start: int, tables: _Tables, follows: bool) -> tuple[int, int] | None:
    """(end, score) of the likeliest name that starts here, None where none is likely enough."""
    characters, words = tables.characters, tables.words
    long = text[start : start + 2] in COMPOUND
    given = start + 2 if long else start + 1
    if not _is_han(text[given : given + 1]) or not (long or text[start] in characters.surname):
        return None
    one, two, after = text[given], text[given + 1 : given + 2], text[given + 2 : given + 3]
    base = 40 if long else characters.surname[text[start]]
    # A name of two characters is one in seven, and far easier to meet by chance.
    short = base + characters.only.get(one, RARE) - 12
    full = _NEVER
    if _is_han(two):
        second = characters.second.get(two, RARE)
        full = base + characters.first.get(one, RARE) + second
        short -= max(0, second - 3)  # what looks like the end of a name is one
    most = 50 if start and text[start - 1] in _LABEL_ENDS else 8
    most_short = 45 if text[given + 1 : given + 2] in _AFTER_STARTS else 8
    most_full = 45 if text[given + 2 : given + 3] in _AFTER_STARTS else 8
    if max(short + most_short, full + most_full) + most < THRESHOLD:
        return None
    around = _before(text, start, follows)
    if text[start] in _PREPOSITIONS and not long:
        around -= 15
    if start and text[start - 1 : start + 1] in words:
        around -= 28
    if max(short + most_short, full + most_full) + around < THRESHOLD:
        return None
    word = text[start : given + 1] in words
    inner = one + two in words
    short += around - 45 * word - 25 * inner - 60 * (one in _NEVER_LAST) + _after(text, given + 1)
    if full > _NEVER:
        full += around - 35 * word - 22 * inner - 60 * (text[start : given + 2] in words) - 60 * (two in _NEVER_LAST)
        full += _after(text, given + 2) - 20 * (two + after in words)
        if characters.surname.get(two, _NEVER) > -25 and _is_given(text[given + 2 : given + 4], characters):
            full -= 25  # 张伟李秀英 are two people
    score, end = max((short, given + 1), (full, given + 2))
    return (end, score) if score >= THRESHOLD else None


def _is_given(two: str, characters: NameCharacters) -> bool:
    return len(two) == 2 and characters.first.get(two[0], 0) + characters.second.get(two[1], 0) > 25


def _is_han(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _before(text: str, start: int, follows: bool) -> int:
    """What stands in front adds."""
    if start and text[start - 1] in _LABEL_ENDS and _STRONG.search(text, max(0, start - 10), start):
        return 50
    return 8 if follows or start == 0 or text[start - 1] in _WEAK else 0


def _after(text: str, end: int) -> int:
    """What stands behind adds."""
    if _TITLE.match(text, end):
        return 45
    if _PERSON_AFTER.match(text, end):
        return 35
    if _THING_AFTER.match(text, end):
        return -40
    if _PERSON_VERB.match(text, end):
        return 22
    return 8 if end == len(text) or text[end] in _BOUNDARY else 0
