"""Command line: `python -m tools <command>` or `keras-vae <command>`."""

import argparse
import os
import sys

from .pages.phone import PHONE


def parser():
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="keras-vae", description="Variational autoencoders: train, look, measure."
    )
    top.add_argument(
        "--backend",
        choices=("tensorflow", "jax", "torch"),
        help="what Keras runs on (default: KERAS_BACKEND, or TensorFlow)",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def add(name, help, *preset):
        command = commands.add_parser(name, help=help, description=help)
        if preset:
            command.add_argument("preset", help=preset[0])
        return command

    def pictures(command):
        command.add_argument("--out", help="picture to write (.png, .jpg, .pdf, .svg)")
        command.add_argument("--n", type=int, help="how many")
        command.add_argument("--seed", type=int, default=0)

    name = "name of a preset, or the path of its folder"
    command = add("list", "List the presets.")
    command.add_argument("pattern", nargs="?", default="*", help="such as 'mnist_*'")
    add("info", "Say what a preset is and what was measured.", name)

    command = add("train", "Rebuild a preset from its recipe; with --all the zoo.")
    command.add_argument("preset", nargs="?", help=name)
    text = "train, measure and export every preset, or those that match 'mnist_*'"
    command.add_argument("--all", nargs="?", const="*", metavar="PATTERN", help=text)
    command.add_argument("--out", help="folder to write (default: the preset's own)")
    command.add_argument("--epochs", type=int, help="instead of the recipe's")
    command.add_argument("--restart", action="store_true", help="forget earlier epochs")
    command.add_argument("--limit", type=int, help="train on the first examples only")
    text = "draw curves and samples every so many epochs (5)"
    command.add_argument("--plot", nargs="?", const=5, type=int, metavar="EPOCHS", help=text)

    command = add("evaluate", "Measure a preset and write it into its card.", name)
    command.add_argument("--split", default="test", choices=("validation", "test"))
    command.add_argument("--samples", type=int, help="K, instead of the recipe's")
    command.add_argument("--limit", type=int, help="the first examples only")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--dry-run", action="store_true", help="print, write nothing")
    what = "these measures only, such as bound, pictures or information; a wrong name lists all"
    command.add_argument("--metric", nargs="+", metavar="NAME", help=what)

    command = add("card", "Draw a preset's pictures and write its card anew.", name)

    command = add("benchmark", "Measure how fast `fit` trains on each backend.")
    command.add_argument("networks", nargs="*", help="of A, B, S, E, C, D; all by default")
    command.add_argument("--here", action="store_true", help="on this backend only")
    command.add_argument("--rounds", type=int, default=5, help="turns of each loop")
    command.add_argument("--steps", type=int, default=30, help="batches a turn")
    command.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--quality",
        choices=("mnist", "celeb_a_64"),
        help="instead the bound of each kind of convolutional network after each epoch",
    )
    command.add_argument("--epochs", type=int, help="of --quality (default: 5)")
    command.add_argument("--limit", type=int, help="training examples of --quality")
    what = "instead the VAE of keras.io's example beside ours of its layers; on TensorFlow"
    instead.add_argument("--example", action="store_true", help=what)
    command.add_argument("--out", help="folder for a JSON and a picture, named by the machine")
    command.add_argument("--lines", help=argparse.SUPPRESS)

    add("readme", "Write the generated parts of the pages, and the notebooks.")

    command = add("site", "Make a static web site of the pages, the zoo and the API.")
    command.add_argument("--out", default="site", help="folder to write (default: site)")
    command.add_argument(
        "--explore",
        nargs="+",
        default=[],
        metavar="NAME",
        help="presets whose cards show their page of `explore`",
    )

    command = add("sample", "Draw new data.", name)
    command.add_argument("--label", type=int, help="of a conditional model")
    pictures(command)
    pictures(add("reconstruct", "Draw data above its reconstructions.", name))
    pictures(add("interpolate", "Draw the way from one picture to another.", name))

    command = add("demo", "Load mnist_conv, draw pictures, fine-tune it.")
    command.add_argument("--out", default="demo", help="folder to write")

    command = add("export", "Write a preset as a file for phones, browsers or servers.")
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = PHONE
    command.add_argument("preset", nargs="?", help=f"{name}, or of a .keras file")
    text = "every variant of every preset, or of those that match 'celeba_*'; a table"
    command.add_argument("--all", nargs="?", const="*", metavar="PATTERN", help=text)
    command.add_argument("--format", default="tflite", choices=("tflite", "saved_model", "onnx"))
    command.add_argument("--quantize", choices=("float16", "dynamic", "int8", "int4", "int8x16"))
    text = "layers that stay float32, such as decoder/conv2d_3"
    command.add_argument("--exclude", nargs="+", default=(), metavar="LAYER", help=text)
    command.add_argument("--out", help="file or folder to write; with --all the folder for all")
    command.add_argument("--signatures", nargs="+", metavar="NAME", help="instead of all four")
    command.add_argument("--batch-size", type=int, help="rows of a call; 0 for any number")
    command.add_argument("--data", help="data set to compare on (default: the recipe's)")
    command.add_argument("--limit", type=int, help="compare on the first examples only")
    command.add_argument("--record", action="store_true", help="with --all: write into the cards")

    text = "Move codes and watch the picture: a page that runs the decoder in the browser."
    command = add("explore", text, name)
    text = "folder to write, for any static server (default: serve it on this machine)"
    command.add_argument("--out", help=text)
    command.add_argument("--port", type=int, default=0, help="to serve at (default: a free one)")

    command = add("apply", "Measure what codes are good for, and write a table of it.")
    names = ("compression", "classification", "anomalies", "denoising", "outliers", "synthetic")
    command.add_argument("name", choices=(*names, "all"))
    command.add_argument("--out", help="folder to write (default: zoo/applications)")
    command.add_argument("--split", default="test", choices=("validation", "test"))
    command.add_argument("--limit", type=int, help="first examples only; writes only to --out")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--epochs", type=int, help="of compression, anomalies and outliers")
    command.add_argument("--sizes", type=int, nargs="+", help="of codes, of compression")
    command.add_argument("--presets", nargs="+", help="of classification")
    command.add_argument("--digits", type=int, nargs="+", help="left out, of anomalies")
    command.add_argument("--preset", help="of denoising")
    command.add_argument("--minutes", type=float, help="of one core for each model, of synthetic")

    text = "Draw the figures of courses, each with a lesson in English and Spanish."
    command = add("gallery", text)
    command.add_argument("names", nargs="*", metavar="NAME", help="figures (default: all)")
    command.add_argument("--out", help="folder to write (default: gallery)")
    command.add_argument("--list", action="store_true", help="say which figures there are")
    command.add_argument("--record", action="store_true", help="write beside the code instead")

    command = add("reproduce", "Train a paper's models and put ours beside what it reports.")
    tables = ("iwae", "iwae_two_layers", "static", "vampprior", "realnvp", "disentanglement", "wae")
    tables += ("quantizers_mnist", "quantizers_faces")
    command.add_argument("table", choices=tables)
    command.add_argument("--budget", type=float, default=0.01, help="part of the paper's epochs")
    command.add_argument("--rows", nargs="+", help="some of the table's rows only")
    command.add_argument("--out", help="folder to write (default: zoo/reproduce)")
    command.add_argument("--split", default="test", choices=("validation", "test"))
    command.add_argument("--limit", type=int, help="first examples only; writes only to --out")
    command.add_argument("--restart", action="store_true", help="forget what earlier runs did")
    command.add_argument("--samples", type=int, help="of the bound (default: as in the paper)")

    add("check", "Check style, type hints and the order of the modules, in seconds.")

    command = add("test", "Run the tests, on each backend in its own process.")
    command.add_argument("--backends", nargs="+", default=["tensorflow", "jax", "torch"])
    tier = command.add_mutually_exclusive_group()
    tier.add_argument("--quick", action="store_true", help="nothing slow, on one backend")
    tier.add_argument("--changed", action="store_true", help="tests of what differs from HEAD")
    command.add_argument("arguments", nargs="*", help="for pytest, after --")
    return top


def main(argv=None):
    """Runs one command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    wanted = arguments.backend
    if wanted and os.environ.get("KERAS_BACKEND") != wanted:
        # Keras reads its backend at import, which an installed command is past.
        os.environ["KERAS_BACKEND"] = wanted
        os.execv(sys.executable, [sys.executable, "-m", __package__, *argv])
    if arguments.command == "check":
        from .checks import style

        return style.run()
    if arguments.command == "test":
        from .checks import testing

        tier = "quick" if arguments.quick else "changed" if arguments.changed else "all"
        return testing.run(arguments.backends, arguments.arguments, tier)

    from . import commands

    try:
        return getattr(commands, arguments.command)(arguments)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"keras-vae {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
