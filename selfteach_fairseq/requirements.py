"""What the installed fairseq must have: imported before anything that is built on it."""

import logging

# Or every import would print that fairseq's text-to-speech task misses tensorboardX.
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

from fairseq.models.transformer import TransformerConfig  # noqa: E402

# The 0.12.2 release and its later development branch call themselves the same version.
if not hasattr(TransformerConfig, "merge_src_tgt_embed"):
    raise SystemExit(
        "selfteach_fairseq needs a newer fairseq than the 0.12.2 release: pip install ve-fairseq"
    )
