"""What each part of the recipe brings: short runs that differ in one thing, all else and every view the same.

    python -m evaluate.ablations --config distill/configs/ablation.toml --sface FILE --out runs/ablations --tables student/tables

Trains every variant (what is there already is not trained again), exports it and compares it with the base run on LFW.
Writes `ablations.csv` and `ablations-paired.csv` (base against each variant: `better` means that leaving the part out, or
putting it in, costs). Short runs from the teacher's weights say what helps early on; they say little about long ones,
and nothing about what a network from random initialisation would reach with a GPU's budget.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from distill import build, config as configs, export, train
from distill.crops import shared_dir

from . import lfw, networks, verification


def variants(base: configs.Config, sface: Path) -> dict[str, configs.Config]:
    """Every run by name; `base` first."""
    def loss(**values) -> configs.Config:
        return dataclasses.replace(base, loss=dataclasses.replace(base.loss, **values))

    def network(**values) -> configs.Config:
        return dataclasses.replace(base, network=dataclasses.replace(base.network, **values))

    return {
        "base": base,
        "without-relation": loss(relation=0.0),
        "without-feature": loss(feature=0.0),
        "with-attention": loss(attention=0.5),
        "with-wavelet": loss(wavelet=0.5),
        "with-consistency": loss(consistency=0.5),
        "with-identity": loss(identity=0.05),
        "ll-for-strides": network(downsample="ll"),
        "two-teachers": dataclasses.replace(base, second_teacher=f"sface:{sface}"),
        "clean-kernels-only": dataclasses.replace(base, data=dataclasses.replace(base.data, clean_share=1.0)),
        "random-start-wave-m": network(route="wave", downsample="ll"),
    }


def trained(name: str, wanted: configs.Config, out: Path) -> Path:
    """The exported network of one run, trained if it is not there yet."""
    path = out / f"{name}.onnx"
    if not path.exists():
        print(f"training {name}", flush=True)
        train.run(wanted, out / name, out / "cache")
        export.write(build.restore(wanted.network, out / name / "checkpoint.pt"), path)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sface", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[24, 12])
    parser.add_argument("--degradation", default="held-out")
    parser.add_argument("--only", nargs="+", help="these variants alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", type=Path, required=True)
    arguments = parser.parse_args()
    runs = variants(configs.load(arguments.config), arguments.sface)
    runs = {name: run for name, run in runs.items() if not arguments.only or name in arguments.only}
    embedders = [networks.parse(f"{name}=student:{trained(name, run, arguments.out)}") for name, run in runs.items()]
    images, pairs = lfw.load(shared_dir() / "data" / "test-lfw.tar")
    pairs = [p for p in pairs if p.fold < arguments.folds]
    rows, verdicts, persons = verification.evaluate(
        embedders, images, pairs, arguments.sides, [arguments.degradation], ["hr-lr"], arguments.out / "embeddings"
    )
    verification.write(arguments.tables / "ablations.csv", rows)
    names = [e.name for e in embedders]
    paired = verification.compare(verdicts, persons, names[0], names[1:])
    verification.write(arguments.tables / "ablations-paired.csv", paired)
    for row in paired:
        print(*row.values())


if __name__ == "__main__":
    main()
