"""Pass a stage's output on: all of it to a log, and what people want to follow to the screen.

COMMAND 2>&1 | python -u recipes/progress.py LOG
"""

import re
import signal
import sys

from depths import layers_of_metric

TRAINING = re.compile(r"train_inner \| epoch (\d+).* loss=([\d.]+).*num_updates=(\d+).*wall=(\d+)")
VALIDATION = re.compile(r"valid \| epoch (\d+) .* num_updates (\d+)")
FIGURES = re.compile(r"(nll_loss|kl|student_\w+?_nll_loss) ([\d.]+)")
ACCURACIES = re.compile(r"(?<!\w)(accuracy|student_\w+?_accuracy) ([\d.]+)")  # of classifiers
NAMES = {"nll_loss": "full", "kl": "KL", "accuracy": "full"}  # of students: their layers
# What fairseq's tools and sentencepiece say to themselves.
CHATTER = re.compile(r"^(\d{4}-\d\d-\d\d |INFO:|DEBUG:|\s|\S+\.cc\(\d+\) LOG|\)?$)")


def line_for_people(line):
    """What to show of a line, or None."""
    if match := TRAINING.search(line):
        epoch, loss, updates, seconds = match.groups()
        minutes = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        return f"   epoch {int(epoch)}, update {updates}: loss {loss}, {minutes} min"
    if match := VALIDATION.search(line):
        accuracies = ACCURACIES.findall(line)
        figures = (
            f"{NAMES.get(name) or f'student {_layers(name)}'} {value}"
            for name, value in accuracies or FIGURES.findall(line)
        )
        unit = "accuracy" if accuracies else "bits per token"
        return f"   validation after epoch {int(match[1])}, {unit}: {', '.join(figures)}"
    if CHATTER.search(line):
        return None
    return "   " + line.rstrip()


def _layers(name):
    return layers_of_metric(name.replace("accuracy", "nll_loss"))


def main(log):
    with open(log, "a", encoding="utf-8") as file:
        for line in sys.stdin:
            file.write(line)
            file.flush()
            shown = line_for_people(line)
            if shown is not None:
                print(shown, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, and so its output
    sys.stdin.reconfigure(errors="replace")
    main(sys.argv[1])
