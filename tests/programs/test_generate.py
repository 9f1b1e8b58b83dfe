"""What is read of fairseq-generate's output."""

from selfteach_fairseq.programs import generate

OUTPUT = """\
S-3\t1 2
T-3\ta target
H-3\t-0.5\t5 6
D-3\t-0.5\ta\ttext of two
lines,\r and P-one more
P-3\t-0.4 -0.6 -0.5
H-3\t-0.9\t5
D-3\t-0.9\t
P-3\t-0.9
S-0\t7
T-0\tin two
lines
H-0\t-0.1\t8
D-0\t-0.1\tlast
P-0\t-0.1
2026-11-27 12:00:00 | INFO | fairseq_cli.generate | Translated 2 sentences
Generate test with beam=2: BLEU4 = 0.00
"""


def test_pieces_of_bytes_may_be_white_space():
    """As GPT-2's are: a text with a break is one line nevertheless."""
    hypotheses, targets = generate._read(OUTPUT)
    assert targets == {3: "a target", 0: "in two lines"}
    assert hypotheses == {
        3: [
            generate.Hypothesis("a text of two lines, and P-one more", -0.5, 3),
            generate.Hypothesis("", -0.9, 1),
        ],
        0: [generate.Hypothesis("last", -0.1, 1)],
    }
