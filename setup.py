from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="selfteach_fairseq",
    version="0.1.0",
    description="Self-teaching for fairseq: small, fast translation models out of one training run",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["selfteach_fairseq", "selfteach_fairseq.*"]),
    # Templates of the report's page and the model card; type hints.
    package_data={"": ["*.html", "*.md", "py.typed"]},
    install_requires=[
        # The same `fairseq` module and commands as fairseq's main branch, with wheels for 3.11+;
        # the official 0.12.2 release does not import there.
        "ve-fairseq>=0.12.3",
        # Before 2.10 torch's safe loader could be led to run code (CVE-2026-24747).
        "torch>=2.10",
        "sacrebleu>=2.4",
        "sentencepiece>=0.2",
        "numpy>=1.26",
        "omegaconf>=2.2",  # fairseq's configurations
        "scikit-learn>=1.3",  # scores of classifiers; fairseq requires it, too
        "tqdm>=4.60",
        # The report's page. torch requires it anyway, so it needs no extra.
        "jinja2>=3.1",
    ],
    extras_require={
        "plot": ["matplotlib>=3.8"],
        # What exported models run in; before 4.8.1 a broken model file could overwrite memory.
        "ship": ["ctranslate2>=4.8.1"],
        # ROUGE of summaries, by the reference's own words and stemmer.
        "rouge": ["rouge-score>=0.1.2"],
        # A BERT's weights and its tokenizer.
        "bert": ["safetensors>=0.4.5", "tokenizers>=0.19"],
        # BLEU of Japanese and Korean words.
        "ja": ["sacrebleu[ja]>=2.4"],
        "ko": ["sacrebleu[ko]>=2.4"],
        "dev": [
            "matplotlib>=3.8",
            "ctranslate2>=4.8.1",
            "rouge-score>=0.1.2",
            "safetensors>=0.4.5",
            "tokenizers>=0.19",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "hydra-core>=1.0.7",  # fairseq's, of which tests remember what it parses
            "packaging",
            "pyyaml>=6",
            "ruff>=0.9",
            "mypy>=1.15",
        ],
    },
    entry_points={"console_scripts": ["selfteach = selfteach_fairseq.cli:main"]},
)
