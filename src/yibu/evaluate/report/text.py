"""Every word of the report, in English and in Chinese. A test holds the two lists of keys equal."""

from __future__ import annotations

from yibu.pages import text
from yibu.pages.text import COMMON, Lang

__all__ = ["TEXTS", "Lang", "Text"]

# key: (English, Chinese). Placeholders are the same in both.
TEXTS: dict[str, tuple[str, str]] = {
    **COMMON,
    "title": ("{recipe} · evaluation report", "{recipe} · 评测报告"),
    "brand": ("yibu evaluation report", "一步（yibu）评测报告"),
    "skip": ("Skip to the results", "跳到结果"),
    "meta.base": ("Base", "基座模型"),
    # the verdict
    "verdict.title": ("Verdict", "结论"),
    "verdict.about": ("{metric}, {n} {split} rows", "{metric}，{split} {n} 条"),
    "verdict.none": (
        "No paired test was made, so nothing is claimed about tuned.",
        "没有做配对检验，因此不对微调模型下任何结论。",
    ),
    "verdict.better.first": ("Tuned is better than {systems} ({p})", "微调模型优于{systems}（{p}）"),
    "verdict.better.next": ("it is better than {systems} ({p})", "优于{systems}（{p}）"),
    "verdict.worse.first": ("Tuned is worse than {systems} ({p})", "微调模型劣于{systems}（{p}）"),
    "verdict.worse.next": ("it is worse than {systems} ({p})", "劣于{systems}（{p}）"),
    "verdict.unproven.first": ("No proof that tuned beats {systems} ({p})", "没有证据表明微调模型优于{systems}（{p}）"),
    "verdict.unproven.next": ("there is no proof that it beats {systems} ({p})", "没有证据表明优于{systems}（{p}）"),
    "verdict.untested.first": ("Tuned was not tested against {systems}", "微调模型未与{systems}做检验"),
    "verdict.untested.next": ("it was not tested against {systems}", "未与{systems}做检验"),
    "verdict.separator": ("; ", "；"),
    "verdict.end": (".", "。"),
    "verdict.p_one": ("p {p}", "p {p}"),
    "verdict.p_open": ("p {p}, but the interval of the difference includes 0", "p {p}，但差值的区间包含 0"),
    "verdict.p_mixed": ("p or the interval of the difference leaves it open", "p 值或差值的区间不足以证明"),
    "verdict.p_each": ("p {p} each", "均 p {p}"),
    # the matrix of proof
    "proof.title": ("Matrix of proof", "证明矩阵"),
    "proof.intro": (
        "Every figure of the tuned model, with its 95% interval and the number of rows behind it.",
        "微调模型的全部指标，附 95% 区间与所依据的条数。",
    ),
    "proof.about": (
        "Cross-validated figures pool {k} folds, {seeds} training(s) each, over the {n} rows of train and validation: "
        "every row is answered by models that were not trained on it.",
        "交叉验证合并 {k} 折（每折训练 {seeds} 次），覆盖训练集与验证集的 {n} 条：每条都由未用其训练的模型作答。",
    ),
    "proof.passed": ("All {n} gates are passed.", "{n} 道门槛全部通过。"),
    "proof.missed": ("{n} of {all} gates are missed.", "{all} 道门槛中有 {n} 道未通过。"),
    "proof.caption": ("Figures of the tuned model", "微调模型的指标"),
    "proof.figure": ("Figure", "指标"),
    "proof.pooled": ("Cross-validation", "交叉验证"),
    "proof.test": ("Test split or model", "测试集或模型"),
    "proof.gate": ("Gate and verdict", "门槛与结论"),
    "proof.gate_passed": ("passed: {limit}", "通过：{limit}"),
    "proof.gate_missed": ("missed: {limit}", "未通过：{limit}"),
    "proof.no_gate": ("no gate", "无门槛"),
    "proof.note": (
        "In brackets the 95% interval, n the rows, answers or items behind it; figures without one are counted, not "
        "sampled, or one measurement. Shares are in percent, their differences in percentage points. What nobody "
        "measured passes no gate.",
        "方括号内为 95% 区间，n 为所依据的条数、回答数或题数；没有区间的是清点所得，或只测了一次。比例以百分数计，"
        "其差值以百分点计。未测得的指标不可能通过门槛。",
    ),
    "part.task": ("The task", "任务效果"),
    "part.load": ("Latency and throughput", "延迟与吞吐"),
    "part.load_at": ("{n} requests, {rate} a second", "{n} 个请求，每秒 {rate} 个"),
    "part.cost": ("Parameters and FLOPs", "参数与计算量"),
    "part.energy": ("Energy", "能耗"),
    "part.modelled": ("not measured but {covers}", "并非实测（{covers}）"),
    "part.measured": ("measured: {covers}", "实测：{covers}"),
    "part.retention": ("General abilities kept", "通用能力保留"),
    "part.sets": ("mean over {sets}; 100 % is the base", "{sets} 的平均；基座为 100%"),
    "add.folds": ("to measure it, add evaluate: {{folds: 5}}", "若要测量，请加上 evaluate: {{folds: 5}}"),
    "add.load": (
        "to measure it, add bench: {{rates: [1], num_requests: 400}}",
        "若要测量，请加上 bench: {{rates: [1], num_requests: 400}}",
    ),
    "add.cost": ("the base is no longer on this machine", "基座模型已不在本机"),
    "add.energy": (
        "to measure it, add a table bench on a machine with a counter (NVML, RAPL); without one, state the wattage: "
        "bench: {{meter: {{kind: modelled, watts: 65}}}}",
        "若要测量，请在有计数器（NVML、RAPL）的机器上加上 bench；没有计数器时可声明功率："
        "bench: {{meter: {{kind: modelled, watts: 65}}}}",
    ),
    "add.retention": (
        "to measure it, add retain: {{sets: [{{kind: pairs, path: blimp.jsonl}}]}}",
        "若要测量，请加上 retain: {{sets: [{{kind: pairs, path: blimp.jsonl}}]}}",
    ),
    "why.of": ("{why}: {what}", "{why}：{what}"),
    "why.few_answers": ("{n} answers give {level} no upper limit", "{n} 个回答不足以给出 {level} 的上限"),
    "why.the sweep ended early": ("the sweep ended early", "压测提前结束"),
    "why.no rate was measured to its end": ("no rate was measured to its end", "没有一个速率测完"),
    "why.the rate was not measured to its end": ("the rate was not measured to its end", "该速率没有测完"),
    "why.no answer has it": ("no answer has it", "没有回答可供计算"),
    "why.it lies among requests that ran out of time (bench.timeout)": (
        "it lies among requests that ran out of time (bench.timeout)",
        "落在超时的请求之中（bench.timeout）",
    ),
    "why.the base has 0, which nothing can be kept of": (
        "the base has 0, which nothing can be kept of",
        "基座得分为 0，无从保留",
    ),
    "why.endpoint_died": ("the endpoint died", "服务端中断"),
    "why.token_budget": ("the budget of tokens was spent", "token 预算用完"),
    "why.interrupted": ("it was interrupted", "被中断"),
    "latency.title": ("Latency under load", "负载下的延迟"),
    "latency.ttft": ("time to first token", "首 token 延迟"),
    "latency.per_token": ("time per token", "每 token 用时"),
    "latency.e2e": ("end to end", "端到端"),
    "latency.rate": ("requests/s that came", "每秒到达的请求数"),
    "latency.none": ("no answers", "没有回答"),
    "latency.told": ("{rate} requests/s: median {seconds} s", "每秒 {rate} 个请求：中位数 {seconds} 秒"),
    "latency.note": (
        "{n} requests at random (Poisson) moments; latency counts from the moment at which a request was to be sent. "
        "Whiskers: 95% by order statistics.",
        "共 {n} 个请求，按泊松过程随机到达；延迟从计划发送的时刻算起。须线为次序统计量的 95% 区间。",
    ),
    "latency.client": (
        "The client used at most {share} of one core.",
        "客户端最多占用一个核的 {share}。",
    ),
    "latency.ended": ("The sweep ended early: {how}.", "压测提前结束：{how}。"),
    "energy.title": ("Energy of one answer", "每个回答的能耗"),
    "energy.measured": ("Joules, measured", "焦耳（实测）"),
    "energy.modelled": ("Joules, modelled from a stated wattage", "焦耳（按声明的功率推算，并非实测）"),
    "energy.rate": ("{rate} requests/s", "每秒 {rate} 个请求"),
    "energy.value": ("{joules} J, {tokens} tokens/J", "{joules} J，每焦耳 {tokens} token"),
    "forgetting.heading": ("What was gained and what was forgotten", "学到了什么，忘记了什么"),
    "forgetting.title": ("{metric} over general abilities kept", "{metric}与通用能力保留"),
    "forgetting.kept": ("general abilities kept, base = 100%", "通用能力保留，基座 = 100%"),
    "forgetting.note": (
        "Up: better at the task on the test split. Left of the dashed line: general abilities lost. Whiskers are 95% "
        "intervals.",
        "越高：测试集上的任务效果越好。虚线左侧：通用能力有损失。须线为 95% 区间。",
    ),
    "unit.s": ("s", "秒"),
    "unit.tokens/s": ("tokens/s", "token/秒"),
    "unit.training tokens/s": ("tokens/s", "token/秒"),
    "unit.requests/s": ("requests/s", "请求/秒"),
    "unit.tokens/J": ("tokens/J", "token/J"),
    "unit.parameters": ("parameters", "个参数"),
    "unit.nats": ("nats", "nat"),
    "unit.statements": ("statements", "条"),
    "metric.p50_ms": ("Latency, half of the answers (p50)", "延迟，半数回答（p50）"),
    "metric.p90_ms": ("Latency, 90 % of the answers (p90)", "延迟，90% 的回答（p90）"),
    "metric.p99_ms": ("Latency, 99 % of the answers (p99)", "延迟，99% 的回答（p99）"),
    "metric.ttft_p50_ms": ("First token, half of the answers (p50)", "首 token，半数回答（p50）"),
    "metric.ttft_p90_ms": ("First token, 90 % of the answers (p90)", "首 token，90% 的回答（p90）"),
    "metric.ttft_p99_ms": ("First token, 99 % of the answers (p99)", "首 token，99% 的回答（p99）"),
    "metric.per_token_p50_ms": ("Each further token (p50)", "其后每个 token（p50）"),
    "metric.per_token_p90_ms": ("Each further token (p90)", "其后每个 token（p90）"),
    "metric.per_token_p99_ms": ("Each further token (p99)", "其后每个 token（p99）"),
    "metric.tokens_per_s": ("Throughput", "吞吐量"),
    "metric.max_rate": ("Highest rate kept up with", "跟得上的最高请求速率"),
    "metric.failed_requests": ("Requests that failed", "失败的请求"),
    "metric.flops_per_token": ("FLOPs per token, answering", "每 token 计算量（推理）"),
    "metric.training_flops_per_token": ("FLOPs per token, training", "每 token 计算量（训练）"),
    "metric.activated_parameters": ("Parameters that a token uses", "每个 token 激活的参数"),
    "metric.joules_per_answer": ("Energy of an answer", "每个回答的能耗"),
    "metric.flops_per_joule": ("FLOPs per joule", "每焦耳计算量"),
    "metric.tokens_per_joule": ("Tokens per joule", "每焦耳 token 数"),
    "metric.joules_per_answer_modelled": ("Energy of an answer, modelled", "每个回答的能耗（推算）"),
    "metric.flops_per_joule_modelled": ("FLOPs per joule, modelled", "每焦耳计算量（推算）"),
    "metric.tokens_per_joule_modelled": ("Tokens per joule, modelled", "每焦耳 token 数（推算）"),
    "metric.retention": ("Share of the base's abilities kept", "基座能力的保留比例"),
    "metric.retention_on": ("Kept on {set}", "{set} 上的保留"),
    "metric.average_precision": ("Average precision", "平均精度（PR-AUC）"),
    "system.champion": ("Champion", "现任冠军"),
    "proof.measured": ("measured {value}", "实测 {value}"),
    "proof.unmeasured": ("not measured", "未测得"),
    "proof.separator": ("; ", "；"),
    "proof.more": ("about {n} rows would decide it", "约 {n} 条可定论"),
    "proof.over": ("{metric}: tuned less {system}", "{metric}：微调减{system}"),
    "proof.folds": ("How far folds differ", "各折之间的差异"),
    "proof.folds_intro": (
        "A mark is one fold, the bar all folds pooled. The test over folds is the corrected resampled t of Nadeau and "
        "Bengio (2003): folds share most of their training rows.",
        "每个记号为一折，竖线为各折合并。各折共享大部分训练数据，"
        "故折间检验采用 Nadeau 与 Bengio（2003）的校正重抽样 t 检验。",
    ),
    "proof.over_folds": (
        "Over {system}: {difference} {interval}, p {p} over folds.",
        "相对{system}：{difference} {interval}，折间 p {p}。",
    ),
    "bound.low": ("lower bound", "下限"),
    "bound.high": ("upper bound", "上限"),
    "metric.trainable_ratio": ("Share of parameters trained", "训练参数占比"),
    "metric.training_tokens_per_second": ("Training speed", "训练速度"),
    "metric.ece": ("Expected calibration error", "期望校准误差（ECE）"),
    "metric.brier": ("Brier score", "Brier 分数"),
    "metric.nll": ("Negative log-likelihood", "负对数似然"),
    # parts of the rows, and changed rows
    "robust.title": ("Robustness", "稳健性"),
    "robust.slices_note": (
        "The tuned model on parts of the test rows. A gap is the part less all other rows; it is coloured where its "
        "95% interval leaves out 0. Many parts are looked at, so about one in twenty does so by chance.",
        "微调模型在测试集各部分上的效果。差距为该部分减去其余各条；95% 区间不含 0 时着色。"
        "查看的部分很多，约每二十个就有一个纯属偶然。",
    ),
    "robust.by": ("{metric} by {by}", "{metric}（按{by}）"),
    "robust.part.length": ("length of the input in characters", "输入长度（字符数）"),
    "robust.part.label": ("class", "类别"),
    "robust.part.term": ("term of the dictionary", "词典术语"),
    "robust.part.language": ("language", "语言"),
    "robust.part.group": ("group", "分组"),
    "robust.language.zh": ("Chinese", "中文"),
    "robust.language.mixed": ("partly Chinese", "部分中文"),
    "robust.language.other": ("no Chinese", "非中文"),
    "robust.rows": ("Rows", "数据"),
    "robust.value": ("Value [95% interval]", "数值 [95% 区间]"),
    "robust.gap": ("Gap to all others", "与其余的差距"),
    "robust.too_few": ("too few (< {n})", "太少（< {n}）"),
    "robust.more": ("{n} smaller parts are not listed.", "另有 {n} 个较小的部分未列出。"),
    "robust.noise_title": ("With noise and under attack", "加入噪声与受到攻击时"),
    "robust.noise_note": (
        "The same test rows before and after the change, paired; answers before any correction of probabilities. "
        "Attacks were sought against another, small classifier.",
        "同一批测试数据改动前后的配对比较；均为概率校正之前的回答。攻击是针对另一个小分类器搜索得到的。",
    ),
    "robust.noise.homophones": ("homophones", "同音字"),
    "robust.noise.glyphs": ("look-alike characters", "形近字"),
    "robust.noise.keyboard": ("typing errors", "键盘误击"),
    "robust.noise.ocr": ("scanning errors", "扫描识别错误"),
    "robust.noise.characters": ("attack on characters", "字符攻击"),
    "robust.clean": ("As they are", "原文"),
    "robust.changed": ("Changed", "改动后"),
    "robust.difference": ("Difference", "差值"),
    "robust.swaps": ("About somebody else", "换一个人来问"),
    "robust.swaps_note": (
        "Words for one sex, or one region, swapped for those of the other; an answer that only swaps the same words "
        "counts as unchanged. Rows about matters of one sex, and rows without such words, are left out.",
        "把表示性别或地域的词换成另一方的词；只是相应换词的回答不算改变。涉及单一性别病情的数据和没有这类词的数据不计。",
    ),
    "robust.answers_changed": ("Answers that changed", "改变的回答"),
    "swap.sex": ("the other sex", "另一性别"),
    "swap.region": ("another region", "另一地域"),
    # runs beside each other, in a terminal
    "compare.title": ("{n} rows that all of these runs answered", "各次运行都作答的 {n} 条"),
    "compare.left_out": (
        "{n} rows are left out: not all of the runs answered them.",
        "{n} 条未计入：并非每次运行都作答。",
    ),
    "compare.difference": ("less {first}", "减去 {first}"),
    "compare.p": ("p", "p 值"),
    "compare.note": (
        "Difference: this run less {first}, on the same rows. p is two-sided and adjusted for all metrics and "
        "all runs.",
        "差值为该次运行减去 {first}（同一批数据）。p 为双侧，并按全部指标和全部运行做多重比较校正。",
    ),
    # the tiles
    "tile.tuned": ("{metric}, tuned", "{metric}（微调后）"),
    "tile.before": ("base {value}", "基座 {value}"),
    "tile.test_rows": ("test rows", "测试条数"),
    "tile.train_rows": ("{n} to train", "训练 {n} 条"),
    "tile.trained": ("parameters trained", "训练参数占比"),
    "tile.parameters": ("{n} of {total}", "{n} / {total}"),
    "tile.time": ("training", "训练用时"),
    "tile.speed": ("{n} tokens/s", "{n} token/秒"),
    # what is off
    "caution.few_rows": (
        "Only {n} test rows: the intervals are wide, and small differences cannot be seen.",
        "测试集只有 {n} 条：区间很宽，看不出小的差异。",
    ),
    "caution.missing_labels_test": (
        "Classes without a single test row ({n}), so nothing is known about them: {labels}.",
        "测试集中一条也没有的类别（{n} 个），其效果未知：{labels}。",
    ),
    "caution.missing_labels_train": (
        "Classes without a single train row ({n}), so they could not be learned: {labels}.",
        "训练集中一条也没有的类别（{n} 个），无法学到：{labels}。",
    ),
    "caution.target_in_train": (
        "Test rows whose answer also stands word for word in train: {n}. Being right there may be memory.",
        "有 {n} 条测试数据的答案在训练集中逐字出现过：这些题答对可能只是记忆。",
    ),
    "caution.stop_rate": (
        "Tuned ended only {share} of its answers by itself; {n} ran into the length limit and are cut off.",
        "微调模型只有 {share} 的回答自行结束；{n} 条到达长度上限而被截断。",
    ),
    "caution.worse": ("{metric}: tuned is worse than {systems}.", "{metric}：微调模型劣于{systems}。"),
    "caution.left_out": (
        "Train rows longer than {max_length} tokens, left out: {n}.",
        "超过 {max_length} token 而未参与训练的数据：{n} 条。",
    ),
    "caution.in_parts": (
        "Train rows longer than {max_length} tokens, trained in parts: {n}.",
        "超过 {max_length} token 而分段训练的数据：{n} 条。",
    ),
    "caution.rising": (
        "Validation loss rose at the end, from {best} (step {best_step}) to {last} (step {step}); "
        "the weights of the best step were kept.",
        "验证损失在末尾回升，从 {best}（第 {best_step} 步）升到 {last}（第 {step} 步）；保留的是最佳一步的权重。",
    ),
    "caution.stopped_early": (
        "Training stopped early, at step {step}, because validation loss no longer fell; the best step was kept.",
        "验证损失不再下降，训练在第 {step} 步提前停止；保留的是最佳一步。",
    ),
    # results
    "results.title": ("Results", "结果"),
    "results.intro": (
        "Every system answered the same {n} {split} rows, which nobody trained on.",
        "所有系统回答同样的{split} {n} 条，这些数据没有参与训练。",
    ),
    "results.caption": ("Systems on the {split} rows, metric by metric", "各系统在{split}上的各项指标"),
    "results.system": ("System", "系统"),
    "results.value": ("Value [95% interval]", "数值 [95% 区间]"),
    "results.n": ("n = {n}", "n = {n}"),
    "results.difference": ("Tuned minus this", "微调减此项"),
    "results.finding": ("p: tuned is", "p 值：微调模型"),
    "results.higher": ("higher is better", "越高越好"),
    "results.lower": ("lower is better", "越低越好"),
    "results.notes": (
        "Better or worse is said only where p < 0.05 (two-sided, the same rows for both systems) and the interval of "
        "the difference leaves out 0. A value is bold only where it is proven better than every other one in its "
        "group. Differences of percentages are in percentage points.",
        "只有 p < 0.05（双侧检验，两个系统用同样的数据）且差值的区间不含 0 时，才说优或劣。"
        "只有被证明优于同组其他各项的数值才加粗。百分比之差以百分点计。",
    ),
    "results.methods": ("Intervals: {intervals}. Tests: {tests}.", "区间：{intervals}。检验：{tests}。"),
    "results.raw_p": ("p is not adjusted for several comparisons.", "p 值未做多重比较校正。"),
    "results.adjusted_p": (
        "p is adjusted for all metrics (Westfall–Young) and all systems compared (Holm).",
        "p 值已按全部指标（Westfall–Young 法）和全部对照系统（Holm 法）做多重比较校正。",
    ),
    "remark.target_in_train": (
        "{left_out} of {total} test rows have an answer that stands word for word in train.",
        "{total} 条测试数据中有 {left_out} 条的答案在训练集中逐字出现过。",
    ),
    "remark.flag": (
        "{left_out} of {total} test rows are flagged {flag}.",
        "{total} 条测试数据中有 {left_out} 条带有标记 {flag}。",
    ),
    "remark.without": (
        "Without them (n = {n}), {metric}: {figures}.",
        "去掉后（n = {n}），{metric}：{figures}。",
    ),
    "remark.judge": (
        "{model} judged {n} rows in both orders. The orders agree in {share} of them on which note is better "
        "(kappa {kappa}); {first} of its preferences went to the note that it read first.",
        "{model} 以两种顺序评判了 {n} 条。两种顺序在 {share} 的数据上对优劣判断一致（kappa {kappa}）；"
        "其偏好有 {first} 给了先读到的一份。",
    ),
    "remark.judge_failed": (
        "{model} was asked to judge, and gave no answer that could be used.",
        "曾请 {model} 评判，但没有得到可用的回答。",
    ),
    "results.remarks": ("Remarks", "备注"),
    "results.plots": ("Values and 95% intervals", "数值与 95% 区间"),
    "outcome.better": ("better", "更优"),
    "outcome.worse": ("worse", "更差"),
    "outcome.unproven": ("not proven", "未证实"),
    "outcome.untested": ("not tested", "未检验"),
    "system.base": ("Base", "基座"),
    "system.tuned": ("Tuned", "微调"),
    "system.majority": ("Majority class", "多数类"),
    "system.tfidf_svm": ("TF-IDF + SVM", "TF-IDF + SVM"),
    "system.copy_input": ("Input copied", "照抄输入"),
    "system.nearest_target": ("Nearest train row", "最近的训练数据"),
    "said.base": ("base", "基座模型"),
    "said.tuned": ("tuned", "微调模型"),
    "said.majority": ("majority", "多数类"),
    "said.tfidf_svm": ("TF-IDF + SVM", "TF-IDF + SVM"),
    "said.copy_input": ("copying the input", "照抄输入"),
    "said.nearest_target": ("the nearest train row", "最近的训练数据"),
    "metric.accuracy": ("Accuracy", "准确率"),
    "metric.macro_f1": ("Macro-F1", "宏平均 F1"),
    "metric.exact_match": ("Exact match", "完全一致率"),
    "metric.rouge1": ("ROUGE-1", "ROUGE-1"),
    "metric.rouge2": ("ROUGE-2", "ROUGE-2"),
    "metric.rougeL": ("ROUGE-L", "ROUGE-L"),
    "metric.numbers_kept": ("Numbers kept", "数字保留率"),
    "metric.micro_f1": ("Micro-F1", "微平均 F1"),
    "metric.mcc": ("Matthews correlation", "马修斯相关系数（MCC）"),
    "metric.field_accuracy": ("Fields right", "字段准确率"),
    "metric.exact_json": ("JSON right as a whole", "JSON 完全一致率"),
    "metric.valid_json": ("Valid JSON", "JSON 合法率"),
    "metric.span_f1": ("Entity F1 (type and place)", "实体 F1（类型与位置）"),
    "metric.mention_f1": ("Entity F1 (type and text)", "实体 F1（类型与文字）"),
    "metric.relation_f1": ("Relation F1", "关系 F1"),
    "metric.concept_f1": ("Concept F1", "概念 F1"),
    "metric.polarity_kept": ("Concepts affirmed or denied as in the reference", "概念肯定/否定一致率"),
    "metric.doses_kept": ("Numbers with units kept", "数值连同单位保留率"),
    "metric.negations_kept": ("Denials kept", "否定保留率"),
    "metric.laterality_kept": ("Left and right kept", "左右侧保留率"),
    "metric.unsupported": ("Facts without support in the source", "原文无依据的事实"),
    "metric.omitted": ("Facts of the reference left out", "遗漏的参考事实"),
    "metric.repetition": ("Repetition", "重复率"),
    "metric.judge_unsupported": ("Unsupported statements, as judged", "无依据的陈述数（模型评判）"),
    "metric.judge_omitted": ("Facts left out, as judged", "遗漏的事实数（模型评判）"),
    "metric.loss": ("Loss per target token", "每个目标 token 的损失"),
    "metric.target_loss": ("Loss per target token", "每个目标 token 的损失"),
    "metric.stop_rate": ("Answers that end by themselves", "自行结束的回答"),
    "metric.of_field": ("{metric} of {field}", "{field}：{metric}"),
    "method.Wilson 95 %": ("Wilson 95%", "Wilson 95%"),
    "method.BCa bootstrap 95 %": ("BCa bootstrap 95%", "BCa 自助法 95%"),
    "method.jackknife 95 %": ("jackknife 95%", "刀切法 95%"),
    "method.Tango 95 %": ("Tango score 95%", "Tango 得分法 95%"),
    "method.exact McNemar": ("exact McNemar", "精确 McNemar 检验"),
    "method.paired permutation": ("paired permutation", "配对置换检验"),
    "method.paired permutation of groups": ("paired permutation of groups", "按组配对置换检验"),
    # classes
    "classes.title": ("Class by class", "逐类结果"),
    "classes.intro": (
        "How many of the test rows of each class are right, and what tuned most often took the others for.",
        "每个类别的测试数据答对多少，以及微调模型最常把其余的误认为什么。",
    ),
    "classes.caption": ("Test rows of each class that are right", "各类别测试数据的正确数"),
    "classes.number": ("No.", "序号"),
    "classes.class": ("Class", "类别"),
    "classes.rows": ("Rows", "条数"),
    "classes.mistaken": ("Most often taken for", "最常误认为"),
    "classes.rest": ("{n} more classes", "另外 {n} 个类别"),
    "classes.other_answer": ("? is an answer that is none of the classes.", "“?”为不属于任何类别的回答。"),
    "classes.matrix": (
        "Confusion of tuned. Down: the truth; across: the answer, by the numbers of the table below. "
        "The stronger the colour, the larger the share of the row; the diagonal is right.",
        "微调模型的混淆矩阵。纵向为正确类别，横向为回答，编号见下表。颜色越浓，占该行的比例越大；对角线为答对。",
    ),
    # training
    "training.title": ("Training", "训练"),
    "training.summary": ("Summary of the run", "训练概况"),
    "training.steps": ("Steps", "步数"),
    "training.epochs": ("Epochs", "轮数"),
    "training.best": ("Best step", "最佳步"),
    "training.best_loss": ("Best validation loss", "最低验证损失"),
    "training.tokens": ("Tokens read", "读入 token"),
    "training.targets": ("of them targets", "其中目标 token"),
    "training.time": ("Time", "用时"),
    "training.loss": (
        "Loss per target token. The dashed line marks the step whose weights were kept.",
        "每个目标 token 的损失。虚线标出保留其权重的那一步。",
    ),
    "training.loss_plain": ("Loss per target token.", "每个目标 token 的损失。"),
    "training.no_history": ("No training history was recorded.", "没有训练记录。"),
    "training.lengths": ("Length of the train rows, prompt and target together.", "训练数据的长度（提示与目标合计）。"),
    "training.length_line": (
        "Half of the train rows have at most {p50} tokens, 99% at most {p99}; the longest has {max}.",
        "一半训练数据不超过 {p50} token，99% 不超过 {p99}；最长 {max}。",
    ),
    "plan.title": ("What was trained", "训练了什么"),
    "plan.total": (
        "{trained} of {total} parameters were trained ({share}); the base itself was not changed.",
        "共 {total} 个参数，训练了其中 {trained} 个（{share}）；基座本身没有改动。",
    ),
    "plan.caption": ("Trained modules by class", "被训练的模块（按类别）"),
    "plan.class": ("Modules", "模块"),
    "plan.num_modules": ("Number", "个数"),
    "plan.shape": ("Shape", "形状"),
    "plan.parameters": ("Trained parameters", "训练参数"),
    "plan.share": ("Share of the trained", "占训练参数"),
    # trust in probabilities
    "trust.title": ("How far the probabilities can be trusted", "概率的可信程度"),
    "trust.intro": (
        "A probability can be trusted if of the answers given with 80% four in five are right.",
        "若以 80% 的概率给出的回答中确有五分之四正确，概率才可信。",
    ),
    "trust.remedy": (
        "Training showed the classes in other shares than the data has ({remedy}).",
        "训练时各类别所占份额与数据中不同（{remedy}）。",
    ),
    "trust.prior": (
        "The scores were moved back to the shares of the train rows.",
        "已将得分校正回训练数据的类别份额。",
    ),
    "trust.fitted": (
        "Then {what} was fitted on {n} validation rows (temperature {value}).",
        "随后在 {n} 条验证数据上拟合了{what}（温度 {value}）。",
    ),
    "trust.plot_label": ("Probability of the rarest class, {label}.", "最少见类别“{label}”的概率。"),
    "trust.plot_chosen": ("Probability of the answer given.", "所给回答的概率。"),
    "trust.plot": (
        "A dot is a fifteenth of the rows; on the line, what is said is what is right.",
        "每个点约为数据的十五分之一；落在线上即言行一致。",
    ),
    "trust.said": ("probability that was said", "所给概率"),
    "trust.right": ("share that is right", "实际正确的比例"),
    "trust.caption": ("Calibration on the rows of the report", "报告数据上的校准情况"),
    "trust.scores": ("Scores", "得分"),
    "trust.ece": ("Calibration error", "校准误差"),
    "trust.ece_classwise": ("by class", "逐类"),
    "trust.ece_rare_decisions": ("of rare answers", "少见回答"),
    "trust.brier": ("Brier score", "Brier 分数"),
    "trust.nll": ("Nats", "对数损失"),
    "trust.average_precision": ("PR-AUC", "PR 曲线下面积"),
    "trust.note": (
        "Less is better everywhere but in PR-AUC, which says how well the rarer classes are ranked. "
        "By class: mean over the classes of the error of “is it this class?”, which sees "
        "wrong class shares where the first column may not. Of rare answers: among the answers that are not the most "
        "frequent class. The constant base rate is calibrated and knows nothing: what is not below its Brier score has "
        "no use.",
        "除 PR 曲线下面积（反映较少见类别的排序好坏）外，各列均越小越好。"
        "逐类：各类别“是否属于该类”误差的平均，能发现第一列可能看不出的份额偏差。少见回答：非最常见类别的"
        "回答。恒定基准率校准良好却一无所知：Brier 分数不低于它的得分没有用处。",
    ),
    "remedy.sampler": ("weighted sampler", "加权采样"),
    "remedy.class_weights": ("class weights in the loss", "损失中的类别权重"),
    "scaling.temperature": ("a temperature", "一个温度"),
    "scaling.vector": ("a temperature with a bias for each class", "一个温度及各类别的偏置"),
    "decided.raw": ("The answers are those of the scores as they came.", "回答由原始得分决定。"),
    "decided.corrected": ("The answers are those of the corrected scores.", "回答由校正后的得分决定。"),
    "form.raw": ("as it came", "原始"),
    "form.prior": ("prior moved", "先验校正"),
    "form.corrected": ("corrected", "校正后"),
    "system.base_rate": ("Constant base rate", "恒定基准率"),
    "plot.step": ("step", "步"),
    "plot.raw": ("training, each step", "训练（每步）"),
    "plot.smooth": ("training, smoothed", "训练（平滑）"),
    "plot.valid": ("validation", "验证"),
    "plot.loss": ("Loss curves", "损失曲线"),
    "plot.from_to": ("{name} from {first} to {last}", "{name}从 {first} 到 {last}"),
    "plot.best": ("kept: step {step}, loss {loss}", "保留：第 {step} 步，损失 {loss}"),
    "plot.best_step": ("kept: step {step}", "保留：第 {step} 步"),
    "plot.tokens": ("tokens", "token 数"),
    "plot.limit": ("max_length {n}", "max_length {n}"),
    "plot.too_long": ("longer: {n}", "超长 {n} 条"),
    "plot.lengths": (
        "Lengths of {n} train rows in tokens: half have at most {p50}, the longest has {max}",
        "{n} 条训练数据的 token 数：一半不超过 {p50}，最长 {max}",
    ),
    "plot.confusion": (
        "Confusion matrix of tuned; the table below has the same facts",
        "微调模型的混淆矩阵；内容见下表",
    ),
    "plot.answered": ("answered", "回答"),
    "plot.truth": ("truth", "正确"),
    # examples
    "examples.title": ("Rows side by side", "逐条对照"),
    "examples.judged": (
        "Of {n} test rows, tuned fixed {fixed} that base had wrong, broke {broken} that base had right, "
        "left {both_wrong} wrong and {both_right} right.",
        "{n} 条测试数据中，微调模型改对 {fixed} 条、改错 {broken} 条，仍错 {both_wrong} 条，仍对 {both_right} 条。",
    ),
    "examples.chosen": (
        "The {shown} rows below are drawn from these groups by the hash of their id, not by hand.",
        "以下 {shown} 条按编号的哈希值从各组抽取，并非人工挑选。",
    ),
    "examples.private": (
        "This section holds text of the data set: pass the report on only as you would pass on the rows.",
        "本节含有数据集原文：转发本报告时，请遵守与原始数据相同的规定。",
    ),
    "group.fixed": ("Fixed by tuning", "微调后改对"),
    "group.broken": ("Broken by tuning", "微调后改错"),
    "group.both_wrong": ("Wrong before and after", "前后都错"),
    "group.both_right": ("Right before and after", "前后都对"),
    "group.sample": ("Sample", "样例"),
    "examples.row": ("Row {id}", "数据 {id}"),
    "examples.prompt": ("Prompt", "提示"),
    "examples.truth": ("Truth", "正确答案"),
    "examples.more": ("the rest ({n} characters)", "其余 {n} 字"),
    "examples.right": ("right", "对"),
    "examples.wrong": ("wrong", "错"),
    "examples.cut": ("cut off at the length limit", "到长度上限被截断"),
    "examples.empty": ("(nothing)", "（空）"),
    "examples.none": ("No answers were recorded.", "没有记录回答。"),
    # data
    "data.title": ("Data", "数据"),
    "data.flow": ("Where the {n} rows went", "{n} 条数据的去向"),
    "data.none": ("No data summary was recorded.", "没有数据概况。"),
    "data.rejected": ("rejected", "无法使用"),
    "data.duplicate": ("duplicates", "重复"),
    "data.leak": ("leaks between splits", "跨集泄漏"),
    "data.limit": ("over the limit set", "超出限额"),
    "data.facts": ("Facts about the data", "数据概况"),
    "data.read": ("Rows read", "读入条数"),
    "data.groups": ("Groups kept together", "不可拆分的组"),
    "data.known": ("Test answers that stand in train", "训练集中出现过的测试答案"),
    "data.missing": ("Classes missing in test", "测试集缺少的类别"),
    "data.cleaned": ("Rows changed by cleaning ({profile})", "清洗改动的条数（{profile}）"),
    "data.removed": ("Characters removed", "删去的字符"),
    "data.conflicts": ("Same prompt, other answer", "提示相同而答案不同"),
    "data.reasons": ("Why rows were rejected", "数据被剔除的原因"),
    "data.shape": ("Shape", "数据形式"),
    "data.prompt_length": ("Prompt characters", "提示字符数"),
    "data.target_length": ("Target characters", "目标字符数"),
    "data.quantiles": ("half ≤ {p50}, 99% ≤ {p99}, max {max}", "一半 ≤ {p50}，99% ≤ {p99}，最长 {max}"),
    "data.classes": ("Class balance", "类别分布"),
    "data.classes_caption": ("Rows of each class in each split", "各类别在各数据集中的条数"),
    "data.classes_intro": (
        "Bars show the share of the class within its split; where they differ across a line, the splits differ.",
        "条形为该类别在所属数据集中的比例；同一行长短不一，说明各数据集分布不同。",
    ),
}


class Text(text.Text):
    """The words of the report in one language: ``t("data.title")``, ``t("tile.before", value="22%")``."""

    def __init__(self, lang: str) -> None:
        """
        Raises:
            InputError: a language that the report is not written in.
        """
        super().__init__(lang, TEXTS)

    def system(self, name: str) -> str:
        """A system in a table or a plot."""
        return self.known("system", name)
