"""Draw the values that fill slots: names, products, order numbers, dates and the distractors around them.

A large share is random text, so that copying is the only way to get a value right.
Knows nothing of messages, tasks or answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from banks import Banks, Lang

HAN = [
    char
    for row in range(0xB0, 0xD8)
    for cell in range(0xA1, 0xFF)
    if (char := bytes([row, cell]).decode("gb2312", "ignore"))
]
_MONTHS = [
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
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_ZH_DIGITS = "零一二三四五六七八九十"
_FAMILY_ZH = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"


def syllables(r: random.Random, low: int, high: int) -> str:
    """Return a made-up lower-case word."""
    return "".join(
        r.choice(
            [
                "b",
                "c",
                "d",
                "f",
                "g",
                "h",
                "j",
                "k",
                "l",
                "m",
                "n",
                "p",
                "r",
                "s",
                "t",
                "v",
                "w",
                "z",
                "br",
                "ch",
                "cl",
                "dr",
                "gr",
                "pl",
                "sh",
                "st",
                "th",
                "tr",
            ]
        )
        + r.choice(["a", "e", "i", "o", "u", "ee", "ai", "oo", "y"])
        + r.choice(["", "", "", "n", "r", "l", "s", "t", "m", "ck"])
        for _ in range(r.randint(low, high))
    )


def han(r: random.Random, low: int, high: int) -> str:
    """Return random common Han characters."""
    return "".join(r.choices(HAN, k=r.randint(low, high)))


def digits(r: random.Random, low: int, high: int) -> str:
    """Return a string of random digits."""
    return "".join(r.choices("0123456789", k=r.randint(low, high)))


def capitals(r: random.Random, low: int, high: int) -> str:
    """Return a string of random capital letters."""
    return "".join(r.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=r.randint(low, high)))


def _pick(r: random.Random, table: dict[str, tuple[str, ...]], section: str, spare: str) -> str:
    entries = table.get(section)
    return r.choice(entries) if entries else spare


def _name_en(r: random.Random, banks: Banks, rand: float) -> str:
    def word(section: str) -> str:
        made = syllables(r, 1, 3).capitalize()
        return made if r.random() < rand else _pick(r, banks.names, section, made)

    if r.random() < 0.12 and r.random() > rand and banks.names.get("full"):
        return r.choice(banks.names["full"])
    given = word("given")
    kind = r.random()
    if kind < 0.33:
        return given
    if kind < 0.40:
        return f"{given} {capitals(r, 1, 1)}. {word('family')}"
    if kind < 0.44:
        return f"{given}-{word('given')} {word('family')}"
    if kind < 0.47:
        return f"{r.choice(['Mr', 'Ms', 'Mrs', 'Dr'])}{r.choice(['.', ''])} {word('family')}"
    return f"{given} {word('family')}"


def _name_zh(r: random.Random, banks: Banks, rand: float) -> str:
    if r.random() < rand:
        return han(r, 2, 3)
    kind = r.random()
    if kind < 0.12 and banks.names.get("full"):
        return r.choice(banks.names["full"])
    family = _pick(r, banks.names, "family", r.choice(_FAMILY_ZH))
    if kind < 0.22:
        return family + r.choice(["女士", "先生", "小姐", "老师", "阿姨"])
    if kind < 0.27:
        return r.choice("小老阿") + family
    if kind < 0.31:
        return syllables(r, 1, 2).capitalize()
    return family + _pick(r, banks.names, "given", han(r, 1, 2))


def name(r: random.Random, banks: Banks, rand: float) -> str:
    """Draw a customer name; ``rand`` is the share of made-up ones."""
    if banks.lang == "zh":
        return _name_zh(r, banks, rand)
    made = _name_en(r, banks, rand)
    return made.lower() if r.random() < 0.04 else made


def _any(r: random.Random, *shapes: Callable[[], str]) -> str:
    """Draw from one of several shapes."""
    return r.choice(shapes)()


def _code(r: random.Random) -> str:
    return _any(
        r,
        *[
            lambda: capitals(r, 1, 3) + digits(r, 1, 4),
            lambda: capitals(r, 1, 2) + "-" + digits(r, 1, 3),
            lambda: digits(r, 1, 3),
            lambda: capitals(r, 1, 1) + digits(r, 1, 1),
            lambda: r.choice(["Pro", "Mini", "Max", "Plus", "Air", "S", "II", "Lite", "3.0"]),
        ],
    )


def _product_en(r: random.Random, banks: Banks, rand: float) -> str:
    if r.random() < 0.25 and r.random() > rand and banks.products.get("full"):
        return r.choice(banks.products["full"])
    made = " ".join(syllables(r, 1, 3) for _ in range(r.randint(1, 2)))
    noun = made if r.random() < rand / 2 else _pick(r, banks.products, "noun", made)
    if r.random() < 0.3:
        noun = noun.lower()
        if r.random() < 0.6:
            return noun
    elif r.random() < 0.7:
        noun = noun.title()
    word = syllables(r, 1, 3).capitalize()
    brand = word if r.random() < rand else _pick(r, banks.products, "brand", word)
    parts = [brand, noun] if r.random() < 0.8 else [noun]
    return " ".join([*parts, _code(r)] if r.random() < 0.3 else parts)


def _product_zh(r: random.Random, banks: Banks, rand: float) -> str:
    if r.random() < 0.25 and r.random() > rand and banks.products.get("full"):
        return r.choice(banks.products["full"])
    noun = han(r, 2, 4) if r.random() < rand / 2 else _pick(r, banks.products, "noun", han(r, 2, 3))
    if r.random() < 0.35:
        return noun
    brand = han(r, 2, 3) if r.random() < rand else _pick(r, banks.products, "brand", han(r, 2, 2))
    if r.random() < 0.1:
        brand = syllables(r, 1, 2).capitalize()
    space = " " if r.random() < 0.15 else ""
    return brand + space + noun + (space + _code(r) if r.random() < 0.25 else "")


def product(r: random.Random, banks: Banks, rand: float) -> str:
    """Draw a product as a customer writes it; ``rand`` is the share of made-up words."""
    return (_product_zh if banks.lang == "zh" else _product_en)(r, banks, rand)


def order_id(r: random.Random) -> str:
    """Draw an order number in one of many shapes."""
    shapes: list[Callable[[], str]] = [
        lambda: digits(r, 5, 12),
        lambda: f"{capitals(r, 1, 4)}-{digits(r, 3, 8)}",
        lambda: f"{capitals(r, 1, 4)}{digits(r, 3, 9)}",
        lambda: f"{digits(r, 3, 5)}-{digits(r, 2, 6)}",
        lambda: f"#{digits(r, 4, 8)}",
        lambda: f"#{capitals(r, 1, 3)}{r.choice(['', '-'])}{digits(r, 3, 6)}",
        lambda: f"{capitals(r, 1, 3)}-{r.randint(2020, 2029)}-{digits(r, 3, 6)}",
        lambda: f"{digits(r, 2, 5)}{capitals(r, 1, 2)}{digits(r, 2, 5)}",
        lambda: f"{digits(r, 2, 4)}-{capitals(r, 1, 3)}-{digits(r, 2, 4)}",
        lambda: f"{capitals(r, 2, 2)} {digits(r, 4, 6)}",
        lambda: f"{capitals(r, 1, 3)}_{digits(r, 4, 7)}",
        lambda: f"{capitals(r, 1, 2).lower()}{r.choice(['', '-'])}{digits(r, 4, 7)}",
        lambda: f"{digits(r, 3, 4)}/{digits(r, 2, 5)}",
    ]
    return r.choice(shapes)()


def _ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return f"{day}th"
    return f"{day}" + {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _date_en(r: random.Random, year: int, month: str, day: int) -> str:
    if r.random() < 0.3:
        month = month[:3] + r.choice(["", "", "."])
    return r.choice(
        [
            f"{day} {month} {year}",
            f"{day} {month}",
            f"{month} {day}",
            f"{month} {day}, {year}",
            f"{month} {_ordinal(day)}",
            f"{month} {_ordinal(day)}, {year}",
            f"{_ordinal(day)} {month}",
            f"the {_ordinal(day)} of {month}",
            f"{_ordinal(day)} of {month}",
            f"{day}-{month[:3]}-{year}",
            f"{r.choice(['last', 'this'])} {r.choice(_DAYS)}",
            r.choice([*_DAYS, "yesterday", "today", "last week", "last month"]),
        ]
    )


def _zh_number(n: int) -> str:
    tens, ones = divmod(n, 10)
    head = "" if tens == 0 else ("十" if tens == 1 else _ZH_DIGITS[tens] + "十")
    return head + (_ZH_DIGITS[ones] if ones else "")


def _date_zh(r: random.Random, year: int, month: int, day: int) -> str:
    return r.choice(
        [
            f"{year}年{month}月{day}日",
            f"{year}年{month}月{day}号",
            f"{month}月{day}日",
            f"{month}月{day}号",
            f"{month}月{day}日",
            f"{month}月{day}号",
            f"{_zh_number(month)}月{_zh_number(day)}{r.choice('日号')}",
            f"{month:02}月{day:02}日",
            f"{r.choice(['去年', '今年'])}{month}月{day}{r.choice('日号')}",
            f"{r.choice(['上周', '这周', '上个星期', '本周'])}{r.choice('一二三四五六日')}",
            r.choice(["昨天", "前天", "今天早上", "昨晚", "上个月", f"上个月{day}号", f"{day}号"]),
        ]
    )


def date(r: random.Random, lang: Lang) -> str:
    """Draw a date as a customer writes it."""
    year, month, day = r.randint(2019, 2029), r.randint(1, 12), r.randint(1, 31)
    if r.random() < 0.35:
        return r.choice(
            [
                f"{year}-{month:02}-{day:02}",
                f"{year}-{month:02}-{day:02}",
                f"{year}/{month}/{day}",
                f"{year}/{month:02}/{day:02}",
                f"{day:02}.{month:02}.{year}",
                f"{year}.{month}.{day}",
                f"{month:02}/{day:02}/{year}",
                f"{month}/{day}",
                f"{day}.{month}.",
                f"{month}.{day}",
            ]
        )
    if lang == "zh":
        return _date_zh(r, year, month, day)
    return _date_en(r, year, _MONTHS[month - 1], day)


def phone(r: random.Random, lang: Lang) -> str:
    """Draw a phone number."""
    if lang == "zh":
        return _any(r, lambda: "1" + digits(r, 10, 10), lambda: f"0{digits(r, 2, 3)}-{digits(r, 7, 8)}")
    return _any(
        r,
        *[
            lambda: f"+{digits(r, 1, 2)} {digits(r, 3, 3)} {digits(r, 6, 7)}",
            lambda: f"{digits(r, 3, 3)}-{digits(r, 3, 3)}-{digits(r, 4, 4)}",
            lambda: f"0{digits(r, 3, 4)} {digits(r, 5, 6)}",
            lambda: f"({digits(r, 3, 3)}) {digits(r, 7, 7)}",
        ],
    )


def tracking(r: random.Random) -> str:
    """Draw a tracking or invoice number: looks like an order number, but is none."""
    return _any(
        r,
        *[
            lambda: capitals(r, 2, 3) + digits(r, 8, 12),
            lambda: digits(r, 10, 14),
            lambda: capitals(r, 2, 2) + digits(r, 9, 9) + capitals(r, 2, 2),
            lambda: f"INV-{digits(r, 4, 6)}",
            lambda: order_id(r),
        ],
    )


def email(r: random.Random) -> str:
    """Draw an address under a reserved domain."""
    user = syllables(r, 1, 3) + r.choice(["", ".", "_"]) + r.choice([syllables(r, 1, 2), digits(r, 1, 3)])
    return f"{user}@{r.choice(['example.com', 'example.org', 'mail.example', 'example.net'])}"


def draw(slot: str, r: random.Random, banks: Banks, rand: float) -> str:
    """Draw the text for any slot of a message."""
    table: dict[str, Callable[[], str]] = {
        "name": lambda: name(r, banks, rand),
        "other_name": lambda: name(r, banks, rand),
        "product": lambda: product(r, banks, rand),
        "other_product": lambda: product(r, banks, rand),
        "order_id": lambda: order_id(r),
        "tracking": lambda: tracking(r),
        "date": lambda: date(r, banks.lang),
        "other_date": lambda: date(r, banks.lang),
        "phone": lambda: phone(r, banks.lang),
        "email": lambda: email(r),
        "n": lambda: str(r.randint(5, 990)),
        "d": lambda: str(r.randint(2, 30)),
    }
    return table[slot]()
