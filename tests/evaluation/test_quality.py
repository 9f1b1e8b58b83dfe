"""Which tokens a score counts, and what no score is made of."""

import urllib.request
from importlib.util import find_spec

import pytest
import sacrebleu
import sentencepiece
from sacrebleu.tokenizers import tokenizer_spm

from selfteach_fairseq.evaluation import quality

CHINESE = ["我们今天去看老师的房子。", "他昨天在学校学习中文。", "朋友喜欢吃苹果。"]
NEARLY = ["我们今天去看老师的房子。", "他昨天在学校学习英文。", "朋友喜欢吃苹果。"]


@pytest.mark.parametrize(
    "codes, tokenizer",
    [
        ("zh ZH zh_CN zh-Hant zho zho_Hans chi cmn cmn_Hans yue_Hant cn zh@x zh.GB18030", "zh"),
        ("en de fr ru ar hi he fa tr sr@latin ca@valencia pt_BR xx zha", "13a"),
        ("th tha_Thai lo lao km khm_Khmr my mya_Mymr bo dzo_Tibt", "char"),
    ],
)
def test_the_tokenizer_follows_the_language(codes, tokenizer):
    for code in codes.split():
        name, note = quality.tokenizer_for(code)
        assert name == tokenizer, code
        if tokenizer == "char":
            assert code in note and "--tokenizer flores200" in note and "\n" not in note
        else:
            assert note is None


@pytest.mark.parametrize(
    "code, tokenizer, module, extra",
    [
        *((code, "ja-mecab", "MeCab", "sacrebleu[ja]") for code in ("ja", "jpn_Jpan", "ja_JP")),
        *((code, "ko-mecab", "mecab_ko", "sacrebleu[ko]") for code in ("ko", "kor_Hang", "ko-KR")),
    ],
)
def test_japanese_and_korean_by_mecab_where_it_is_installed(code, tokenizer, module, extra):
    name, note = quality.tokenizer_for(code)
    if find_spec(module):
        assert (name, note) == (tokenizer, None)
        return
    assert name == "char" and f"pip install '{extra}'" in note and "\n" not in note
    with pytest.raises(ValueError, match="needs pip install 'sacrebleu") as error:
        quality.bleu(tokenizer)
    assert f"--tokenizer {tokenizer}" in str(error.value) and "\n" not in str(error.value)


def test_chinese_is_scored_as_sacrebleu_scores_it():
    name, _ = quality.tokenizer_for("zho_Hans")
    found = quality.quality(NEARLY, CHINESE, name)
    expected = sacrebleu.corpus_bleu(NEARLY, [CHINESE], tokenize="zh").score
    assert found["bleu"] == round(expected, 2) and 85 < found["bleu"] < 99
    assert found["tokenizer"] == "zh" and "|tok:zh|" in found["bleu_signature"]
    assert found["bleu_lc"] == found["bleu"] and "|tok:zh|" in found["bleu_lc_signature"]
    assert quality.quality(CHINESE, CHINESE, "13a")["bleu"] == 0  # a token a sentence: no 4-grams


def test_a_tokenizer_with_a_model_of_its_own(tmp_path, monkeypatch):
    """sacreBLEU downloads it to its folder; here another stands for it."""
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    model = tmp_path / "models" / "flores200sacrebleuspm"
    model.parent.mkdir()
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in CHINESE * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(model), vocab_size=31, minloglevel=2
    )
    model.with_suffix(".model").rename(model)
    found = quality.quality(NEARLY, CHINESE, "flores200")
    assert "|tok:flores200|" in found["bleu_signature"] and 0 < found["bleu"] < 100


@pytest.mark.parametrize("broken", [False, True])
def test_a_model_that_cannot_be_had_is_said_in_one_line(tmp_path, monkeypatch, broken):
    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):  # where nobody listens
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # or it would keep these proxies for good
    (tmp_path / "models").mkdir()
    for name, file in (("flores200", "flores200sacrebleuspm"), ("spm", "sacrebleu_tokenizer_spm")):
        if broken:
            for path in (file, f"{file}.model"):
                (tmp_path / "models" / path).write_bytes(b"cut short")
        with pytest.raises(ValueError, match=f"--tokenizer {name}: .*it is downloaded") as error:
            quality.bleu(name)
        assert "\n" not in str(error.value)


def test_a_tokenizer_that_sacrebleu_has_not():
    with pytest.raises(ValueError, match="--tokenizer moses: name one of none, zh, 13a"):
        quality.bleu("moses")


@pytest.mark.parametrize("references", [[], ["", ""], [" ", "\t\u3000"]])
def test_a_score_of_nothing_is_an_error(references):
    with pytest.raises(ValueError, match="the references are empty"):
        quality.quality(["a b c d"] * len(references), references, "13a")
