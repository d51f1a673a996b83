"""The words of the data card, in English and in Chinese. What only people know is a question, marked as to fill in."""

from __future__ import annotations

# key: (English, Chinese). Placeholders are the same in both.
CARD: dict[str, tuple[str, str]] = {
    "card.title": ("Data card: {recipe}", "数据卡：{recipe}"),
    "card.about": (
        "Written by yibu from the artifact `{id}`; figures are of that artifact and of no other. Its form follows "
        "Datasheets for Datasets (Gebru et al. 2018). Lines that begin with **{mark}** are for the operator: a machine "
        "cannot know the answer.",
        "由 yibu 根据产物 `{id}` 生成，所有数字只对该产物有效。体例依据《Datasheets for Datasets》（Gebru 等，2018）。"
        "以 **{mark}** 开头的行须由运营者填写：机器无从得知。",
    ),
    "card.mark": ("TO FILL IN:", "待填写："),
    "card.license": ("license: to be filled in by the operator", "许可证：由运营者填写"),
    # what people know
    "card.motivation": ("Motivation", "目的"),
    "ask.purpose": ("For what purpose was the data set made?", "为何建立该数据集？"),
    "ask.creator": ("Who made it, and on whose behalf? Who paid?", "由谁建立、代表谁、由谁出资？"),
    "card.collection": ("Collection", "采集"),
    "ask.how": (
        "How was each row obtained (system, export, period, people)?",
        "每条数据如何取得（系统、导出方式、时间段、人员）？",
    ),
    "ask.sample": ("Of which larger whole is it a sample, and how was it drawn?", "取自何种总体，如何抽样？"),
    "ask.labels": (
        "Who gave the labels, by which guideline, with which agreement?",
        "标签由谁标注、依据何种规范、一致性如何？",
    ),
    "ask.consent": (
        "Was there consent, or another legal ground (GDPR Art. 6 and 9, PIPL Art. 13 and 29, HIPAA)? Was there an "
        "ethics review?",
        "是否取得同意或有其他合法依据（《个人信息保护法》第十三、二十九条，GDPR 第六、九条，"
        "HIPAA）？是否经过伦理审查？",
    ),
    "card.uses": ("Uses", "用途"),
    "uses.task": ("Made for the task **{task}**.", "为任务**{task}**而建。"),
    "ask.uses": ("For what else may it be used, and for what must it not be used?", "还可用于何处，不得用于何处？"),
    "card.distribution": ("Distribution", "分发"),
    "ask.licence": (
        "Under which licence or contract may it be passed on, and to whom?",
        "可在何种许可或合同下提供给谁？",
    ),
    "card.maintenance": ("Maintenance", "维护"),
    "ask.contact": ("Who keeps it, and how are they reached?", "由谁维护，如何联系？"),
    "ask.updates": ("How often is it updated, and how long are old versions kept?", "多久更新，旧版本保留多久？"),
    "maintenance.erase": (
        "Rows carry stable ids. A person's rows are found by id, and artifacts made from them by lineage.",
        "每条数据有固定编号。某人的数据可按编号找到，由其产生的产物可按来源找到。",
    ),
    "maintenance.again": ("Make it again: `{command}`", "重现：`{command}`"),
    # what yibu knows
    "card.composition": ("Composition", "组成"),
    "composition.language": (
        "Language: {language}. Shape: {shape}. Read by: {readers}.",
        "语言：{language}。形式：{shape}。读取方式：{readers}。",
    ),
    "composition.groups": ("Rows of one group are kept together: {n} groups.", "同组数据不拆分：共 {n} 组。"),
    "composition.no_groups": ("Rows have no group column.", "数据没有分组列。"),
    "composition.conflicts": ("Same prompt, other answer: {n}.", "提示相同而答案不同：{n} 条。"),
    "card.splits": ("Splits", "数据划分"),
    "splits.head": ("Split | Rows | Half ≤ | 99% ≤ | Longest", "数据集 | 条数 | 50% ≤ | 99% ≤ | 最长"),
    "splits.unit": ("Lengths are of prompt and target together, in {unit}.", "长度为提示与目标合计，单位：{unit}。"),
    "splits.plain": ("Split | Rows", "数据集 | 条数"),
    "splits.deviation": (
        "The share of a class in a split differs from its share of all rows by at most {points} percentage points.",
        "各数据集中类别占比与总体占比最多相差 {points} 个百分点。",
    ),
    "splits.folds": (
        "Folds for cross-validation: {k}; groups in more than one fold: {shared}.",
        "交叉验证 {k} 折；跨折的组：{shared} 个。",
    ),
    "card.classes": ("Classes", "类别"),
    "classes.head": ("Class | Train | Validation | Test", "类别 | 训练 | 验证 | 测试"),
    "card.more": ("… and {n} more, see `{file}`.", "……另有 {n} 项，见 `{file}`。"),
    "card.preprocessing": ("Preprocessing", "预处理"),
    "preprocessing.head": ("Step | Rows | Reason", "步骤 | 条数 | 原因"),
    "preprocessing.changes": ("Step | Rows changed | What it did", "步骤 | 改动条数 | 做了什么"),
    "preprocessing.profile": ("Cleaning profile: `{profile}`.", "清洗方案：`{profile}`。"),
    "preprocessing.raw": (
        "The source files are unchanged; their digests stand below.",
        "原始文件未作改动，其摘要见下。",
    ),
    "card.near": (
        "Near duplicates: {rows} rows in {clusters} clusters (Jaccard similarity from {threshold}; {mode}).",
        "近似重复：{rows} 条，{clusters} 簇（Jaccard 相似度下限 {threshold}；{mode}）。",
    ),
    "card.contamination": (
        "Benchmark `{name}`: {hits} of {items} items stood in train and were left out.",
        "基准 `{name}`：{items} 条中有 {hits} 条出现在训练数据中，已剔除。",
    ),
    "card.augmented": ("Augmentation (train only): {kinds}.", "数据增强（仅训练集）：{kinds}。"),
    "card.problems": ("Known problems", "已知问题"),
    "problems.none": ("None of the checks found one.", "各项检查均未发现。"),
    "ask.bias": ("Whom does it leave out or show wrongly?", "遗漏或歪曲了哪些人群？"),
    "card.suspects": (
        "Labels in doubt: {n} of {read} judged ({share}), by confident learning (Northcutt et al. 2021).",
        "存疑标签：已判断的 {read} 个中有 {n} 个（{share}），方法为置信学习（Northcutt 等，2021）。",
    ),
    "card.coverage": ("What is not covered", "未覆盖的内容"),
    "card.private": ("Personal data", "个人信息"),
    "private.head": ("Kind | Found | Rows | What was done", "类别 | 处数 | 涉及条数 | 处理方式"),
    "private.unknown": ("Nobody looked for personal data.", "未检测个人信息。"),
    "private.clean": (
        "Detectors looked and found none. No detector finds all.",
        "检测器未发现个人信息；任何检测器都无法保证全部找出。",
    ),
    "private.warning": (
        "Detectors find patterns, listed names and names in context; they do not find everything.",
        "检测器可发现有固定格式的信息、名单中的以及语境中的姓名，但不能保证全部找出。",
    ),
    "ask.people": ("Does it describe people, and which groups of them?", "是否涉及自然人，涉及哪些群体？"),
    "card.identity": ("Identity", "标识"),
    "identity.artifact": ("Artifact", "产物"),
    "identity.inputs": ("Made from", "来源产物"),
    "identity.made": ("Made", "生成日期"),
    "identity.files": ("File | Bytes | SHA-256", "文件 | 字节数 | SHA-256"),
    "identity.sources": ("Source | Digest", "来源 | 摘要"),
    "identity.versions": ("Versions", "版本"),
}
