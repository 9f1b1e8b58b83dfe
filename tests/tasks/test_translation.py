"""The task of this package: which tokens validation BLEU counts."""

import pytest
import torch
from fairseq.data import Dictionary
from tiny import settings

from selfteach_fairseq.tasks.translation import SelfteachTranslationConfig, SelfteachTranslationTask


class Knowing(SelfteachTranslationTask):
    """Whose models translate without a fault."""

    def inference_step(self, generator, models, sample, prefix_tokens=None):
        return [[{"tokens": target}] for target in sample["target"]]


@pytest.mark.parametrize(
    "language, flags, tokens",
    [
        ("zho_Hans", {}, 9),
        ("th", {}, 9),
        ("de", {}, 1),  # of 13a, to which what has no spaces is one word
        ("zh", {"eval_tokenized_bleu": True}, 1),
    ],
)
def test_validation_bleu_counts_the_tokens_of_the_language(language, flags, tokens):
    dictionary = Dictionary()
    for i in range(9):
        dictionary.add_symbol(chr(0x4E00 + i))
    cfg = SelfteachTranslationConfig(
        target_lang=language, eval_bleu=True, eval_bleu_remove_bpe="sentencepiece", **flags
    )
    task = Knowing(cfg, dictionary, dictionary)
    task.build_model(settings().model)
    target = torch.tensor([[*range(4, 13), dictionary.eos()]] * 2)
    found = task._inference_with_bleu(None, {"target": target}, None)
    assert found.sys_len == found.ref_len == 2 * tokens
    assert found.score == (pytest.approx(100) if tokens > 4 else 0)
