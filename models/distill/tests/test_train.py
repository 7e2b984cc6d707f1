"""Training on a few crops: the loss falls, and an interrupted run ends where an uninterrupted one does."""

import dataclasses

import pytest
import torch

from distill import build, config, crops, train


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    tar = crops.shared_dir() / "data" / "train-a.tar"
    if not tar.exists() or not build.teacher_path().exists():
        pytest.skip(f"SKIPPED: no training crops or teacher under {crops.shared_dir()} (set SEKISHO_SHARED)")
    return tmp_path_factory.mktemp("cache")


def small(route: str, views: int = 10_000, batch: int = 8, lr: float = 5e-4) -> config.Config:
    base = config.Config()
    return dataclasses.replace(
        base, bank=64,
        network=config.Network(route=route, size="S", downsample="ll" if route == "wave" else "stride"),
        data=config.Data(tars=("train-a.tar",), limit=96),
        schedule=dataclasses.replace(base.schedule, batch=batch, views=views, warmup_views=8, lr=lr),
        run=dataclasses.replace(base.run, workers=0, log_steps=1000),
    )


def test_interrupted_and_uninterrupted_runs_agree(cache, tmp_path):
    settings = small("wave")
    whole = train.run(settings, tmp_path / "whole", cache, max_steps=4)
    train.run(settings, tmp_path / "parts", cache, max_steps=2)
    parts = train.run(settings, tmp_path / "parts", cache, max_steps=2)
    assert whole.step == parts.step == 4
    for a, b in zip(whole.model.state_dict().values(), parts.model.state_dict().values()):
        assert torch.allclose(a.float(), b.float(), atol=1e-5)


def test_smoke_training_lowers_the_loss(cache, tmp_path):
    settings = small("wave", batch=16, lr=1e-3)
    trainer = train.run(settings, tmp_path / "run", cache, max_steps=60)
    losses = trainer.sums["total"]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_every_term_can_be_switched_on_and_off(cache, tmp_path):
    from distill.losses import Weights

    settings = dataclasses.replace(
        small("wave"), loss=Weights(1.0, 0.0, attention=0.5, wavelet=0.5, consistency=0.5, quality=0.0)
    )
    trainer = train.run(settings, tmp_path / "run", cache, max_steps=1)
    assert {"feature", "attention", "wavelet", "consistency", "total"} <= set(trainer.sums)
    assert not {"relation", "quality"} & set(trainer.sums)


def test_unknown_config_keys_are_all_named(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("colour = 1\n[loss]\nfeatures = 2\n")
    with pytest.raises(ValueError, match="colour.*loss.features|loss.features.*colour"):
        config.load(path)


def test_shipped_configs_parse():
    from pathlib import Path

    found = list((Path(train.__file__).parent / "configs").glob("*.toml"))
    assert found
    for path in found:
        config.load(path)


def test_listed_crops_are_left_out_of_training(tmp_path):
    table = tmp_path / "listed.csv"
    table.write_text("test_picture,training_crop,cosine\nA_0001,utk/b.webp,0.6\n")
    assert train.allowed_rows(["utk/a.webp", "utk/b.webp", "utk/c.webp"], str(table)).tolist() == [0, 2]
    assert train.allowed_rows(["utk/a.webp", "utk/b.webp"], "").tolist() == [0, 1]


def test_only_celeba_names_carry_a_person():
    names = ["celeba/00007_000001.webp", "utk/00001_100_0.webp", "celeba/00009_000002.webp", "celeba/00007_000003.webp"]
    assert train.identity_labels(names).tolist() == [0, -1, 1, 0]


def test_identity_term_joins_the_loss_and_survives_a_restart(cache, tmp_path):
    from distill.losses import Weights

    settings = dataclasses.replace(small("wave"), loss=Weights(identity=0.5))
    first = train.run(settings, tmp_path / "run", cache, max_steps=2)
    assert "identity" in first.sums
    again = train.Trainer(settings, tmp_path / "run", cache)
    again.resume()
    assert first.centres.seen.any() and torch.equal(again.centres.seen, first.centres.seen)
    assert torch.equal(again.centres.centres, first.centres.centres)


def test_a_first_start_with_a_loader_worker_gets_its_batches(cache, tmp_path):
    """The teacher's crops were once resized by OpenCV threads that a forked worker then waited for, without end."""
    import signal

    settings = small("wave")
    settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, workers=1))

    def give_up(*_):
        raise TimeoutError("no batch from the loader's worker")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(240)
    try:
        # A cache of its own: the targets are made in this very process, before the worker is forked.
        assert train.run(settings, tmp_path / "run", tmp_path / "cache", max_steps=2).step == 2
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
