"""Whether two trainings are the same to the last bit."""

import torch


def assert_same(a, b, where=""):
    """Equal to the last bit, but for the time that training took."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            if key not in ("previous_training_time", "metrics", "save_dir", "cfg"):
                assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}.{i}")
    else:
        assert a == b, where


def last(folder):
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    del state["optimizer_history"][:-1]  # it has an entry for every start
    return state
