"""Text comes out as it went in: through a recipe's preparation, and fairseq's reading of it."""
# ruff: noqa: RUF001  characters that look like others are what this is about

import re
import unicodedata

import torch
from conftest import USER_DIR, fairseq
from fairseq.data import Dictionary
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from tiny import checkpoint_of, settings

SENTENCES = {
    "Persian, with joiners": "«می\u200cخواهم» کتاب\u200cها را بخوانم؛ نمی\u200cشود؟",
    "Arabic, with vowels": "أَهْلًا وَسَهْلًا بِكُمْ، كَيْفَ الْحَالُ؟ ـ ﷺ ١٢٣",
    "Hebrew, with points": "שָׁלוֹם עֲלֵיכֶם, מַה שְּׁלוֹמְךָ? צה״ל",
    "Hindi, with joiners": "क्\u200dष और क्\u200cष, नमस्ते दुनिया।",
    "Thai": "สวัสดีครับ น้ำใจ ฯลฯ ๑๒๓",
    "Burmese, with zero-width spaces": "မင်္ဂလာ\u200bပါ ကမ္ဘာ\u200bကြီး။",
    "Korean": "안녕하세요, 세계! ㅋㅋㅋ",
    "Chinese, full-width": "他说：“你好，世界！”（真的吗？）……ＡＢＣ１２３～",
    "Japanese, half-width too": "「こんにちは」、ﾊﾝｶｸ カタカナ・ガギグ。㍿ ～",
    "Vietnamese": "Tiếng Việt rất đẹp, phải không?",
    "German": "Er sagte: „Straße“ – 30 °C … ½ Maß, 5 m², 10⁻³ µm; 100 ‰",
    "signs": "№ 5™ ① ⅷ ℃ Å ª º ² ³ ¼ ¾ × ÷ ≠ − ‑ ‚x’ ″ ′",
    "ligatures": "ﬁn ﬂoß eﬃcient ĳs ǆ ﬀ æ œ",
    "letters with marks of no composed form": "x̂ q̃ ẅ n̈ Ʀ̈ ạ̈",
    "emoji": "👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈 👍🏽 ❤️ ☂︎ 🇩🇪 1️⃣",
    "marks of direction": "a\u200eb\u200fc \u2066d\u2069 Silben\u00adtrennung no\u2060joiner",
    "mathematics": "𝒳 ∈ ℝ, 𝟙 ≤ 𝛼₁",
    "markup": "<b>a</b> & <pad> </s> [x] {y} a_b @@ ## c|d \\n %s",
}
VARIANTS = "bdg"  # further lines of the same characters, to learn the pieces from
UNTIDY = "\u3000 Ta\u0308g\u00a0lich\u2028 e\u0301te\u0301\u0085 "


def printed_by_generate(work):
    """The source and target lines of the test text, with a model that is not trained."""
    data, model = work / "data", work / "model.pt"
    dictionary = Dictionary.load(str(data / "dict.en.txt"))
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    torch.save(checkpoint_of(task.build_model(settings().model)), model)
    printed = fairseq(
        *("generate", data, "--path", model, "--user-dir", USER_DIR, "--cpu", "--beam", 1),
        *("--max-len-a", 0, "--max-len-b", 1, "--required-batch-size-multiple", 1),
        *("--remove-bpe", "sentencepiece"),
    ).stdout
    found = {"S": {}, "T": {}}
    for line in printed.split("\n"):
        kind, number, text = re.match(r"(\w)?-?(\d+)?\t?(.*)", line, re.DOTALL).groups()
        if kind in found:
            found[kind][int(number)] = text
    return ([text for _, text in sorted(found[kind].items())] for kind in "ST")


def write_texts(folder, sentences, untidy):
    """The text of two languages; what is learnt from has every character of the test text."""
    turned = sentences[1:] + sentences[:1]
    for language, side, further in (("xx", turned, untidy), ("en", sentences, untidy + " x")):
        learnt = [f"{v} {s} {w}" for s in side for v in VARIANTS for w in VARIANTS]
        learnt.append(f"{VARIANTS} {further}")
        texts = {"train": learnt, "valid": [f"{s} a" for s in side], "test": [*side, further]}
        for split, lines in texts.items():
            path = folder / f"{split}.{language}"
            path.write_bytes("".join(line + "\n" for line in lines).encode())
    return len({character for line in learnt for character in line})


def test_text_comes_out_as_it_went_in(project):
    sentences = list(SENTENCES.values())
    assert all(unicodedata.is_normalized("NFC", sentence) for sentence in sentences)
    characters = write_texts(project.folder, sentences, UNTIDY)
    with project.settings.open("a") as settings_file:
        settings_file.write(f"types={characters + 10}\n")
    output = project.finish("bitext-scripts", "prepare")
    assert "come back changed" not in output
    work = project.folder / "work/bitext-scripts"
    tidied = "T\u00e4g lich \u00e9t\u00e9"
    expected = [*sentences, f"{tidied} x"]
    assert (work / "text/test.en").read_text().split("\n")[:-1] == expected
    sources, targets = printed_by_generate(work)
    assert targets == expected
    assert sources == [*sentences[1:], sentences[0], tidied]
