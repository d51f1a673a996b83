"""Every word of the data report and of the data card's figures, in English and in Chinese. A test holds both equal."""

from __future__ import annotations

from yibu.pages import text
from yibu.pages.text import COMMON, Lang

__all__ = ["TEXTS", "Lang", "Text"]

# key: (English, Chinese). Placeholders are the same in both.
TEXTS: dict[str, tuple[str, str]] = {
    **COMMON,
    "title": ("{recipe} · data report", "{recipe} · 数据报告"),
    "brand": ("yibu data report", "一步（yibu）数据报告"),
    "skip": ("Skip to the figures", "跳到内容"),
    "meta.shape": ("Shape", "数据形式"),
    "task.extract": ("extraction", "信息抽取"),
    # the verdict
    "verdict.title": ("In short", "概要"),
    "verdict.classes": (
        "{kept} of {read} rows are kept, in {classes} classes: {train} to train, {valid} to validate, {test} to test.",
        "读入 {read} 条，保留 {kept} 条，共 {classes} 个类别：训练 {train} 条，验证 {valid} 条，测试 {test} 条。",
    ),
    "verdict.rows": (
        "{kept} of {read} rows are kept: {train} to train, {valid} to validate, {test} to test.",
        "读入 {read} 条，保留 {kept} 条：训练 {train} 条，验证 {valid} 条，测试 {test} 条。",
    ),
    "verdict.good": (
        "None of the checks speaks against training on them.",
        "各项检查均未发现妨碍训练的问题。",
    ),
    "verdict.look": (
        "Points to settle before training: {n}. They stand below.",
        "训练前应先处理的问题：{n} 项，见下。",
    ),
    "tile.kept": ("rows kept", "保留条数"),
    "tile.of_read": ("{share} of those read", "占读入的 {share}"),
    "tile.classes": ("classes", "类别数"),
    "tile.rarest": ("rarest: {n} train rows", "最少的训练 {n} 条"),
    "tile.repeated": ("repeated rows", "重复条数"),
    "tile.repeated_note": ("exact, near, leaks", "完全重复、近似重复、泄漏"),
    "tile.suspects": ("labels to check", "待核对的标签"),
    "tile.of_judged": ("{share} of those judged", "占已判断的 {share}"),
    "tile.private": ("pieces of personal data", "个人信息处数"),
    "tile.kinds": ("of {n} kinds", "共 {n} 类"),
    "tile.changed": ("changes to texts", "文本改动处数"),
    "tile.steps": ("by {n} steps", "涉及 {n} 个步骤"),
    # what is off
    "caution.unaccounted": (
        "Rows that are neither kept nor among those taken out: {n}. The figures do not add up, so do not trust them.",
        "有 {n} 条既未保留也不在剔除之列：数目对不上，请勿采信。",
    ),
    "caution.rejected": (
        "Rows that could not be used: {n} ({share}). Places and reasons are listed.",
        "无法使用的数据：{n} 条（{share}），原因与位置均已列出。",
    ),
    "caution.few_test": (
        "Only {n} test rows: small differences between models cannot be seen on them.",
        "测试集只有 {n} 条：看不出模型之间的小差异。",
    ),
    "caution.flagged": ("Rows flagged “{flag}”: {n} ({share}).", "带有“{flag}”标记的数据：{n} 条（{share}）。"),
    "caution.missing_train": (
        "Classes without a single train row ({n}), which cannot be learned: {labels}.",
        "训练集中一条也没有的类别（{n} 个），无法学到：{labels}。",
    ),
    "caution.missing_test": (
        "Classes without a single test row ({n}), so nothing will be known about them: {labels}.",
        "测试集中一条也没有的类别（{n} 个），其效果将无从得知：{labels}。",
    ),
    "caution.rare": (
        "Classes with fewer than {least} train rows ({n}): {labels}.",
        "训练数据不足 {least} 条的类别（{n} 个）：{labels}。",
    ),
    "caution.uneven": (
        "The most frequent class has {ratio} times the train rows of the rarest: consider train.sampler or "
        "train.class_weights (not both).",
        "最多的类别的训练条数是最少的 {ratio} 倍：可考虑 train.sampler 或 train.class_weights（不可同时使用）。",
    ),
    "caution.deviation": (
        "The share of a class differs by up to {points} points between a split and all rows: set data.split.stratify.",
        "某类别在一个数据集中的占比与总体相差最多 {points} 个百分点：请设置 data.split.stratify。",
    ),
    "caution.folds_share": ("Groups that lie in more than one fold: {n}.", "有 {n} 个组分散在多个折中。"),
    "caution.folds_deviation": (
        "The share of a class differs by up to {points} points between a fold and all rows.",
        "某类别在一个折中的占比与总体相差最多 {points} 个百分点。",
    ),
    "caution.near": (
        "Near duplicates among the rows kept: {n} ({share}), in clusters: {clusters}. A cluster never lies in two "
        "splits.",
        "{n} 条（占保留的 {share}）与其他数据近似重复，共 {clusters} 簇；同一簇不会分到两个数据集。",
    ),
    "caution.contaminated": (
        "Items of {name} that stood in train: {n} of {items}. The train rows that held them were left out.",
        "{name} 的 {items} 条中有 {n} 条出现在训练数据里；含有它们的训练数据已剔除。",
    ),
    "caution.leak": (
        "Rows left out because they would have leaked from train or validation into a later split: {n}.",
        "{n} 条会从训练集或验证集泄漏到后面的数据集，已剔除。",
    ),
    "caution.target_in_train": (
        "Test rows whose answer also stands word for word in train: {n}. Being right there may be memory; evaluation "
        "reports them apart.",
        "有 {n} 条测试数据的答案在训练集中逐字出现过：答对可能只是记忆，评测会单独列出。",
    ),
    "caution.conflicts": (
        "Inputs that stand with different labels: {n}. A model cannot learn both.",
        "有 {n} 个输入对应不同的标签，模型无法同时学会。",
    ),
    "caution.answers": ("Inputs that stand with different answers: {n}.", "有 {n} 个输入对应不同的答案。"),
    "caution.suspects": (
        "Labels that look wrong: {n} of {read} judged ({share}). They are in review.csv; nothing was deleted.",
        "已判断的 {read} 个标签中有 {n} 个（{share}）可能有误，列在 review.csv 中，未作任何删除。",
    ),
    "caution.unjudged": (
        "Nobody looked for wrong labels: inspect.labels is off, or yibu[data] is not installed.",
        "未查找标签错误：inspect.labels 已关闭，或未安装 yibu[data]。",
    ),
    "caution.typos": ("Labels that look like another one mistyped: {n}.", "有 {n} 个标签疑似其他标签的笔误。"),
    "caution.spellings": (
        "Terms in several spellings: {n}. A dictionary (data.terms) makes them one.",
        "有 {n} 个术语有多种写法：可用词典（data.terms）统一。",
    ),
    "caution.private_left": (
        "Pieces of personal data that are still in the rows: {n}.",
        "数据中仍留有 {n} 处个人信息。",
    ),
    "caution.private_treated": (
        "Pieces of personal data found and taken care of: {n}. No detector finds all of them.",
        "发现并处理了 {n} 处个人信息。任何检测器都无法保证全部找出。",
    ),
    "caution.private_unknown": (
        "Nobody looked for personal data: data.privacy is not set.",
        "未检测个人信息：没有设置 data.privacy。",
    ),
    "caution.unmentioned": (
        "Terms of the dictionary that stand in no train row: {n}.",
        "词典中有 {n} 个术语在训练数据中从未出现。",
    ),
    # flow
    "flow.title": ("From read to kept", "从读入到保留"),
    "flow.intro": (
        "What is left after each step, and what the step took out. Test rows are never touched by a leak; only the "
        "earlier split shrinks.",
        "每一步之后剩下多少、剔除了多少。泄漏检查从不改动测试集，只缩减靠前的数据集。",
    ),
    "flow.reasons": ("Why, and where to look", "原因与位置"),
    "flow.caption": ("Rows taken out, by step and reason", "被剔除的数据（按步骤与原因）"),
    "flow.none": ("No row was taken out.", "没有剔除任何数据。"),
    "flow.step": ("Step", "步骤"),
    "flow.reason": ("Reason", "原因"),
    "flow.rows": ("Rows", "条数"),
    "flow.places": ("For example", "例如"),
    "flow.more": ("and {n} more", "另有 {n} 条"),
    "flow.files": (
        "Full lists: rejected.jsonl and dropped.jsonl of the data artifact. They hold ids and lines, no text.",
        "完整清单见数据产物中的 rejected.jsonl 与 dropped.jsonl，其中只有编号和行号，没有原文。",
    ),
    "loss.repeats": ("{place} repeats {other}", "{place} 与 {other} 重复"),
    "step.read": ("read", "读入"),
    "step.rejected": ("unusable", "无法使用"),
    "step.review": ("taken out by review", "人工复核剔除"),
    "step.reviewed": ("taken out by review", "人工复核剔除"),
    "step.privacy": ("refused for privacy", "因隐私拒收"),
    "step.filter": ("filtered", "过滤"),
    "step.filtered": ("filtered", "过滤"),
    "step.duplicate": ("exact duplicates", "完全重复"),
    "step.near_duplicate": ("near duplicates", "近似重复"),
    "step.leak": ("leaks between splits", "跨集泄漏"),
    "step.group_leak": ("leaks by group", "同组泄漏"),
    "step.contaminated": ("benchmark items", "基准题目污染"),
    "step.limit": ("over the limit set", "超出限额"),
    "step.kept": ("kept", "保留"),
    "reason.empty prompt": ("empty prompt", "提示为空"),
    "reason.empty label": ("empty label", "标签为空"),
    "reason.empty target": ("empty target", "答案为空"),
    "reason.empty target (field …)": ("empty target (field …)", "答案为空（字段 …）"),
    "reason.field … is missing": ("field … is missing", "缺少字段 …"),
    "reason.column … is empty": ("column … is empty", "列 … 为空"),
    "reason.label outside the closed set": ("label outside the closed set", "标签不在给定集合内"),
    "reason.the id is that of an earlier row": ("the id is that of an earlier row", "编号与前面的数据相同"),
    "reason.the prompt is shorter than clean.min_characters": (
        "the prompt is shorter than clean.min_characters",
        "提示短于 clean.min_characters",
    ),
    "reason.the prompt is longer than clean.max_characters": (
        "the prompt is longer than clean.max_characters",
        "提示长于 clean.max_characters",
    ),
    "reason.the prompt is in none of clean.languages": (
        "the prompt is in none of clean.languages",
        "提示的语言不在 clean.languages 中",
    ),
    "reason.review": ("decided by people", "人工决定"),
    "reason.equal prompt": ("equal prompt", "提示相同"),
    "reason.equal group": ("equal group", "组相同"),
    # splits
    "splits.title": ("Classes and lengths", "类别与长度"),
    "classes.title": ("Class balance", "类别分布"),
    "classes.spread": (
        "Classes: {n}; the most frequent has {most} rows, the rarest {least}.",
        "共 {n} 个类别；最多的 {most} 条，最少的 {least} 条。",
    ),
    "classes.deviation": (
        "Within a split the share of a class differs from its share of all rows by at most {points} points.",
        "各数据集中类别占比与总体占比最多相差 {points} 个百分点。",
    ),
    "classes.by_rank": (
        "One bar per class, the most frequent first, on a scale of powers of ten; lines are validation and test. A "
        "cross "
        "marks a class without a row in that split. Names are in the table.",
        "每个类别一根柱，从多到少，纵轴为十的幂；折线为验证集与测试集。叉号表示该类别在相应数据集中一条也没有。"
        "名称见下表。",
    ),
    "classes.caption": ("Rows of each class in each split", "各类别在各数据集中的条数"),
    "classes.class": ("Class", "类别"),
    "classes.far": ("Off by (pp)", "最大偏差（百分点）"),
    "classes.rest": ("the other {n} classes", "其余 {n} 个类别"),
    "points.of": ("{n} pp", "{n} 个百分点"),
    "lengths.title": ("Lengths", "长度"),
    "lengths.in_tokens": (
        "Prompt and target together, in tokens of the base's tokenizer, without its chat template.",
        "提示与目标合计，按基座分词器的 token 计，不含对话模板。",
    ),
    "lengths.in_characters": (
        "Prompt and target together, in characters: no tokenizer was given, so tokens are not known.",
        "提示与目标合计，按字符计：没有提供分词器，因此不知道 token 数。",
    ),
    "lengths.sampled": (
        "Measured on rows drawn by the hash of their id.",
        "按编号的哈希值抽样测量。",
    ),
    "lengths.tail": (
        "The last step of the plot holds all longer rows, up to {longest}.",
        "图中最后一格含所有更长的数据，最长 {longest}。",
    ),
    "lengths.caption": ("How long the rows of each split are", "各数据集的长度"),
    "lengths.split": ("Split", "数据集"),
    "lengths.rows": ("Rows", "条数"),
    "lengths.p50": ("Half ≤", "50% ≤"),
    "lengths.p90": ("90% ≤", "90% ≤"),
    "lengths.p99": ("99% ≤", "99% ≤"),
    "lengths.max": ("Longest", "最长"),
    "unit.tokens": ("tokens", "token 数"),
    "unit.characters": ("characters", "字符数"),
    "flags.title": ("Quality flags", "质量标记"),
    "flags.intro": (
        "Flagged rows are kept; the flag stays with the row, so that evaluation can look at them apart.",
        "带标记的数据予以保留；标记随数据保存，评测时可单独查看。",
    ),
    "flag.repetition": ("repetition", "重复内容"),
    "flag.truncated": ("text cut off", "文本被截断"),
    "flag.wrong_language": ("another language", "语言不符"),
    "flag.language": ("another language", "语言不符"),
    "flag.target_in_train": ("answer stands in train", "答案见于训练集"),
    "folds.title": ("Folds", "交叉验证折"),
    "folds.k": ("Folds", "折数"),
    "folds.fold": ("fold {n}", "第 {n} 折"),
    "folds.deviation": ("Largest difference of a class share", "类别占比的最大偏差"),
    "folds.shared": ("Groups in more than one fold", "跨折的组"),
    # repeats
    "repeats.title": ("Duplicates and leaks", "重复与泄漏"),
    "repeats.intro": (
        "Repeated rows make a model remember, and make a test easier than it is. Exact duplicates are left out; near "
        "duplicates are found by MinHash and verified by their exact Jaccard similarity.",
        "重复的数据会让模型死记，也会让测试显得容易。完全重复的已剔除；近似重复由 MinHash 找出，再以精确的 Jaccard "
        "相似度核实。",
    ),
    "repeats.duplicate": ("Exact duplicates left out", "剔除的完全重复"),
    "repeats.near_duplicate": ("Near duplicates left out", "剔除的近似重复"),
    "repeats.near_kept": ("Near duplicates kept together", "同簇保留的近似重复"),
    "repeats.leak": ("Leaks left out", "剔除的泄漏"),
    "repeats.contaminated": ("Rows with benchmark items", "含基准题目的数据"),
    "repeats.groups": ("Groups kept together", "不可拆分的组"),
    "repeats.known": ("Test answers that stand in train", "训练集中出现过的测试答案"),
    "near.clusters": ("Clusters of near duplicates", "近似重复簇"),
    "near.rows": ("Rows in clusters", "簇内条数"),
    "near.largest": ("Largest cluster", "最大的簇"),
    "near.threshold": ("Jaccard similarity from", "Jaccard 相似度下限"),
    "near.mode": ("What is done with them", "处理方式"),
    "near.mode.group": ("kept in one split", "归入同一数据集"),
    "near.mode.drop": ("all but the first left out", "只保留第一条"),
    "near.mode.off": ("not looked for", "不查找"),
    "repeats.benchmarks": ("Benchmark items in train", "训练集中的基准题目"),
    "repeats.caption": ("Items of named files that stood in train", "指定文件中出现在训练集里的题目"),
    "repeats.name": ("File", "文件"),
    "repeats.items": ("Items", "题目数"),
    "repeats.hits": ("Found in train", "在训练集中找到"),
    # texts
    "texts.title": ("Texts before and after", "文本的前后变化"),
    "texts.caption": ("What each step changed", "各步骤的改动"),
    "texts.step": ("Step", "步骤"),
    "texts.rows": ("Rows changed", "改动条数"),
    "texts.kinds": ("What it did", "做了什么"),
    "texts.examples": ("A few rows", "若干样例"),
    "texts.before": ("Before", "之前"),
    "texts.after": ("After", "之后"),
    "texts.hidden": (
        "Not shown: personal data was found in this row.",
        "不予显示：该条数据含个人信息。",
    ),
    "texts.row": ("Row {id}, {field}", "数据 {id}，{field}"),
    "texts.private": (
        "This section holds text of the data set: pass the report on only as you would pass on the rows.",
        "本节含有数据集原文：转发本报告时，请遵守与原始数据相同的规定。",
    ),
    "texts.boilerplate": ("Repeated lines taken out", "剔除的重复套话"),
    "texts.boilerplate_hidden": (
        "Lines: {n}; not shown, since the rows hold personal data.",
        "共 {n} 行；数据含个人信息，故不显示。",
    ),
    "change.review": ("review", "人工复核"),
    "change.clean": ("cleaning", "清洗"),
    "change.units": ("units", "单位"),
    "change.terms": ("terms", "术语"),
    "change.privacy": ("personal data", "个人信息"),
    "kind.times": ("{kind} ({n})", "{kind}（{n}）"),
    "kind.line_breaks": ("line breaks", "换行"),
    "kind.invisible": ("invisible characters", "不可见字符"),
    "kind.width": ("full width to half", "全角转半角"),
    "kind.minus": ("minus signs", "负号"),
    "kind.whitespace": ("white space", "空白"),
    "kind.rules": ("drawn lines", "分隔线"),
    "kind.punctuation": ("punctuation", "标点"),
    "kind.mojibake": ("broken encoding", "乱码"),
    "kind.html": ("HTML", "HTML 标记"),
    "kind.traditional": ("traditional to simplified", "繁转简"),
    "kind.simplified": ("traditional to simplified", "繁转简"),
    "kind.boilerplate": ("repeated lines", "重复套话"),
    "kind.nfc": ("Unicode forms", "Unicode 规范化"),
    "kind.keep": ("kept", "保留"),
    "kind.drop": ("taken out", "剔除"),
    "kind.relabel": ("label changed", "改标签"),
    "terms.title": ("Terms of the dictionary", "词典术语"),
    "terms.line": (
        "Terms found in the texts: {n}; different ones: {different}.",
        "共找到术语 {n} 次，{different} 个不同的术语。",
    ),
    "terms.replaced": ("Variants replaced by the preferred term: {n}.", "{n} 处异写已替换为首选术语。"),
    # personal data
    "private.title": ("Personal data", "个人信息"),
    "private.intro": (
        "Counts only: what was found is never shown, neither here nor in a log.",
        "只列数目：无论此处还是日志，都不显示找到的内容。",
    ),
    "private.none": ("None was found.", "没有发现。"),
    "private.caption": ("Personal data by kind", "个人信息（按类别）"),
    "private.kind": ("Kind", "类别"),
    "private.found": ("Found", "处数"),
    "private.rows": ("Rows", "涉及条数"),
    "private.mode": ("What was done", "处理方式"),
    "private.kind.account": ("account number", "账号"),
    "private.kind.address": ("address", "地址"),
    "private.kind.age_over_89": ("age over 89", "高龄"),
    "private.kind.bank_card": ("bank card", "银行卡号"),
    "private.kind.biometric": ("biometric", "生物特征"),
    "private.kind.birth_date": ("date of birth", "出生日期"),
    "private.kind.credit_code": ("unified social credit code", "统一社会信用代码"),
    "private.kind.date": ("date", "日期"),
    "private.kind.device": ("device number", "设备号"),
    "private.kind.email": ("e-mail", "邮箱"),
    "private.kind.id_card": ("identity card", "身份证号"),
    "private.kind.insurance": ("insurance number", "医保号"),
    "private.kind.ip": ("IP address", "IP 地址"),
    "private.kind.licence": ("licence number", "证件号"),
    "private.kind.licence_plate": ("licence plate", "车牌号"),
    "private.kind.medical_record": ("medical record number", "病历号"),
    "private.kind.name": ("name", "姓名"),
    "private.kind.other_id": ("other number", "其他编号"),
    "private.kind.passport": ("passport", "护照号"),
    "private.kind.phone": ("telephone", "电话"),
    "private.kind.ssn": ("social security number", "社会保障号"),
    "private.kind.url": ("web address", "网址"),
    "private.kind.vehicle": ("vehicle number", "车架号"),
    "mode.mask": ("masked", "掩码"),
    "mode.hash": ("hashed with a secret", "加密钥哈希"),
    "mode.surrogate": ("replaced by an invented one", "替换为虚构值"),
    "mode.refuse": ("row refused", "拒收该条"),
    "mode.keep": ("kept", "保留原文"),
    "mode.off": ("kept", "保留原文"),
    "mode.report": ("counted only", "仅计数"),
    # labels
    "labels.title": ("Labels and consistency", "标签与一致性"),
    "suspects.title": ("Labels that are probably wrong", "可能有误的标签"),
    "suspects.line": (
        "Labels that look wrong: {n} of {read} judged ({share}), by confident learning over {folds} folds ({model}): "
        "each "
        "row "
        "was judged by a model that never saw it.",
        "已判断的 {read} 个标签中有 {n} 个（{share}）可能有误。方法为置信学习，{folds} 折（{model}）："
        "判断每条数据的模型都没有见过它。",
    ),
    "suspects.model.tfidf_logistic": ("TF-IDF and logistic regression", "TF-IDF 与逻辑回归"),
    "suspects.model.tuned_folds": ("our own tuned folds", "自有的分折微调模型"),
    "suspects.caption": ("Rows to check, the least probable label first", "待核对的数据，标签最不可信的在前"),
    "suspects.row": ("Row", "数据"),
    "suspects.given": ("Label", "现标签"),
    "suspects.suggested": ("Suggested", "建议"),
    "suspects.score": ("P (label)", "现标签概率"),
    "suspects.confidence": ("P (suggested)", "建议概率"),
    "suspects.more": ("{n} more in review.csv or labels.json.", "另有 {n} 条，见 review.csv 或 labels.json。"),
    "skipped.classes": ("Not judged, {why} ({n}): {labels}.", "未判断，{why}（{n} 个）：{labels}。"),
    "skipped.rows": ("Not judged, {why}: {n} rows.", "未判断，{why}：{n} 条。"),
    "skipped.no_label": ("no label", "没有标签"),
    "skipped.rare_classes": ("classes with fewer rows than folds", "条数少于折数的类别"),
    "skipped.classes_beyond_limit": ("classes over the limit", "超出限额的类别"),
    "skipped.beyond_limit": ("over the limit", "超出限额"),
    "skipped.unseen_in_fold": ("classes missing from a fold", "某折中缺失的类别"),
    "skipped.no_probability": ("without a probability", "没有概率"),
    "skipped.text_in_another_fold": ("the text stands in another fold", "文本也在另一折中"),
    "conflicts.title": ("Same input, different labels", "输入相同而标签不同"),
    "conflicts.caption": ("Inputs that stand with different labels or answers", "对应不同标签或答案的输入"),
    "conflicts.rows": ("Rows", "数据"),
    "conflicts.labels": ("Labels", "标签"),
    "conflict.targets": ("{n} different answers", "{n} 种不同的答案"),
    "spellings.title": ("One term, several spellings", "同一术语的多种写法"),
    "spellings.caption": ("Terms that stand in more than one form", "有多种写法的术语"),
    "spellings.term": ("Most frequent form", "首选写法"),
    "spellings.forms": ("Other forms", "其他写法"),
    "typos.title": ("Labels that look mistyped", "疑似笔误的标签"),
    "typos.caption": ("Rare labels that look like a frequent one", "与常见标签相近的少见标签"),
    "typos.label": ("Label", "标签"),
    "typos.like": ("Looks like", "近似于"),
    "list.rest": ("{n} more in {file}.", "另有 {n} 项，见 {file}。"),
    "table.rows": ("Rows", "条数"),
    "review.title": ("How to review", "如何复核"),
    "review.intro": (
        "Open review.csv of this artifact in a spreadsheet, fill in the column action, save it beside your data, and "
        "name it in the recipe as data.review. The next run applies it. Lines left empty change nothing.",
        "用电子表格打开本产物中的 review.csv，填写 action 列，保存在数据旁，并在配方中写入 data.review。"
        "下次运行会照此执行；"
        "留空的行不作任何改动。",
    ),
    "review.line": ("Rows in it: {n}; {problems}.", "其中有 {n} 条数据：{problems}。"),
    "review.problem": (
        "what is wrong: label_error, conflict or label_typo",
        "问题：label_error（标签存疑）、conflict（矛盾）或 label_typo（笔误）",
    ),
    "review.given": ("the label as it is", "现有标签"),
    "review.suggested": ("the label that is more likely", "更可能的标签"),
    "review.action": ("yours: keep, drop or relabel", "由您填写：keep（保留）、drop（剔除）或 relabel（改标签）"),
    "review.new_label": ("yours, for relabel: the right label", "由您填写（relabel 时）：正确的标签"),
    "review.comment": ("yours, if you like", "由您填写，可留空"),
    "problem.label_error": ("labels in doubt", "标签存疑"),
    "problem.conflict": ("contradictions", "矛盾"),
    "problem.label_typo": ("mistyped labels", "标签笔误"),
    # coverage
    "coverage.title": ("Coverage", "覆盖情况"),
    "coverage.heat": (
        "Train rows by class and length. The darker, the more (powers of ten); dashed cells are empty, red where "
        "test has "
        "such rows.",
        "训练数据（类别 × 长度）。颜色越深条数越多（按十的幂）；虚线格为空，红色表示测试集中却有这样的数据。",
    ),
    "coverage.shown": (
        "Shown are the {shown} of {n} classes with the most empty cells; coverage.json has all.",
        "只显示 {n} 个类别中空格最多的 {shown} 个；全部见 coverage.json。",
    ),
    "coverage.all": ("all rows", "全部数据"),
    "coverage.unmentioned": ("Terms that no train row mentions", "训练数据中从未出现的术语"),
    "coverage.suggestions": ("What to collect", "建议补充的数据"),
    "coverage.augmented": ("Rows added by augmentation", "数据增强新增"),
    "coverage.kind_of_term": ("Group", "类别"),
    "coverage.missing": ("Not mentioned", "未出现"),
    "coverage.total": ("Terms", "术语数"),
    "coverage.refused_note": (
        "Refused: an entity, a number or a negation did not survive. Only train rows are augmented.",
        "弃用：实体、数字或否定未能保留。只增强训练数据。",
    ),
    "coverage.line": ("{rows} ({refused} refused)", "{rows}（弃用 {refused}）"),
    "coverage.characters": ("Lengths are in characters of the prompt.", "长度按提示的字符数计。"),
    "coverage.terms": (
        "Terms of the dictionary that stand in no train row: {missing} of {total}.",
        "词典的 {total} 个术语中有 {missing} 个在训练数据中从未出现。",
    ),
    "coverage.beyond": ("> {low}", "> {low}"),
    "augmented.synonyms": ("dictionary synonyms", "词典同义替换"),
    "augmented.keyboard": ("keyboard noise", "键盘误击"),
    "augmented.ocr": ("OCR noise", "OCR 噪声"),
    "augmented.homophones": ("homophones", "同音字"),
    "augmented.glyphs": ("similar glyphs", "形近字"),
    "augmented.templates": ("templates", "模板改写"),
    "augmented.mix": ("label-aware mixing", "同类混合"),
    "augmented.rewrite": ("rewritten by a model", "模型改写"),
    # plots
    "plot.funnel": ("From read to kept", "从读入到保留"),
    "plot.classes": ("Rows by class", "各类别条数"),
    "plot.ranks": (
        "Rows of {n} classes by rank: from {most} train rows ({label}) down to {rarest}",
        "{n} 个类别按条数排列：从训练 {most} 条（{label}）到 {rarest}",
    ),
    "plot.by_rank": ("classes, the most frequent first", "类别，从多到少"),
    "plot.lengths": ("Lengths in {unit}; half at most: {half}", "长度（{unit}）；中位数：{half}"),
    "plot.repeats": ("Repeated rows, as shares of those read", "重复数据，占读入的比例"),
    "plot.folds": ("Rows by fold", "各折条数"),
    "plot.flags": ("Flagged rows", "带标记的数据"),
    "plot.terms": ("Terms found most often", "出现最多的术语"),
    "plot.pairs": ("Labels and what they probably should be", "现标签与更可能的标签"),
    "plot.heat": ("Rows by class and length; empty cells: {empty}", "类别与长度；空格 {empty} 个"),
    "plot.augmented": ("Rows added by augmentation", "数据增强新增的条数"),
    "short.train": ("train", "训练"),
    "short.valid": ("valid", "验证"),
    "short.test": ("test", "测试"),
}


class Text(text.Text):
    """The words of the data report in one language: ``t("flow.title")``."""

    def __init__(self, lang: str) -> None:
        """
        Raises:
            InputError: a language that the report is not written in.
        """
        super().__init__(lang, TEXTS)
