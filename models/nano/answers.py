"""Write the answer to each task by rule: the JSON record, the label, the summary.

Knows facts and labels; nothing of prompts.
"""

import json

from banks import Label, Lang
from template import Facts

_TOPIC_EN = {
    "billing": ("a payment for the {}", "order"),
    "delivery": ("the delivery of the {}", "order"),
    "defect": ("a fault in the {}", "product"),
    "account": ("the account", ""),
    "other": ("the {}", "shop"),
}
_TOPIC_ZH = {
    "billing": ("反映{}的费用问题", "订单"),
    "delivery": ("反映{}的配送问题", "订单"),
    "defect": ("反映{}的质量问题", "商品"),
    "account": ("反映账户问题", ""),
    "other": ("来信谈到{}", "店铺"),
}
_END = " \t\n.。,，;；:：!！?？…~"


def extract(facts: Facts) -> str:
    """Return the compact JSON record of the facts."""
    return json.dumps(facts.as_dict(), ensure_ascii=False, separators=(",", ":"))


def label_json(label: Label) -> str:
    """Return the label as compact JSON."""
    return json.dumps({"label": label}, separators=(",", ":"))


def summary(facts: Facts, label: Label, lang: Lang) -> str:
    """Return the one-sentence summary of a support message."""
    topic, spare = (_TOPIC_ZH if lang == "zh" else _TOPIC_EN)[label]
    about = topic.format(facts.product or spare)
    if lang == "zh":
        return f"{facts.name or '客户'}{about}：{facts.issue}。"
    return f"{facts.name or 'A customer'} writes about {about}: {facts.issue}."


def lead_summary(lead: str, lang: Lang) -> str:
    """Return a lead sentence with its final punctuation normalised."""
    return lead.rstrip(_END) + ("。" if lang == "zh" else ".")
