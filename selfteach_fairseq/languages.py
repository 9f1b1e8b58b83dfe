"""Languages by their codes: of ISO 639-1 to -3, and those of countries that are in use for them."""

import re

CHINESE = ("zh", "zho", "chi", "cmn", "yue", "wuu", "nan", "hak", "gan", "lzh", "cn")
JAPANESE = ("ja", "jpn", "jp")


def language_of(code: str) -> str:
    """The language's part of a code: zh of zh_CN, or of zh-Hans."""
    return re.split(r"[\W_]", code.lower())[0]
