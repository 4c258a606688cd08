#!/usr/bin/python3
"""Turns the pinned weights found in unpacked wheels into TorchScript archives with a self-test
inside.

    tools/export/export.py [--models DIR] [--out DIR] [--force] [NAME ...]      default: all models
    tools/export/export.py --weights FILE [--out DIR] NAME       a model of local.json, from a file

Archives that are there already and whose metadata match the catalogue are left alone; what is built
in needs none. Models whose weights no package registry has are left out, unless they are named or
their file is there. See README.md beside this file.
"""

import argparse
import os
import pathlib
import sys
import time

EXIT_FAILED = 1
EXIT_USAGE = 2
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import catalogue  # noqa: E402  (the folder of this file comes first on the path)


def say(text):
    print(f"export: {text}", flush=True)


def complain(text):
    print(f"export: {text}", file=sys.stderr, flush=True)


def parse_arguments(arguments):
    deps = pathlib.Path(os.environ.get("STRATA_DEPS") or ROOT / ".deps")
    parser = argparse.ArgumentParser(
        prog="export.py", description="Exports model weights from wheels to TorchScript archives."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="models of the catalogue (default: all)"
    )
    parser.add_argument(
        "--models",
        type=pathlib.Path,
        default=deps / "models",
        help="folder of unpacked wheels (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=deps / "exported",
        help="folder of archives (%(default)s)",
    )
    parser.add_argument(
        "--weights",
        type=pathlib.Path,
        metavar="FILE",
        help="a file of weights that you have fetched, for one model of local.json",
    )
    parser.add_argument("--force", action="store_true", help="export again what is there already")
    parser.add_argument(
        "--list",
        action="store_true",
        help="print name, role, family and identity of every model, and stop",
    )
    return parser.parse_args(arguments)


def chosen_local(names, weights):
    """The one model of local.json that is to be made from a file of the user's, or None."""
    local = catalogue.load_local()
    if len(names) != 1 or names[0] not in local:
        complain(f"--weights goes with one NAME of local.json, which has {', '.join(local)}")
        return None
    if not weights.is_file():
        complain(f"{names[0]}: {weights} is missing: fetch it from {local[names[0]].origin}")
        return None
    return catalogue.with_weights(local[names[0]], weights)


def chosen(models, names):
    local = catalogue.load_local()
    for name in names:
        if name in local:
            complain(f"{name} needs --weights FILE: fetch it from {local[name].origin}")
            return None
    known = {model.name: model for model in models}
    unknown = [name for name in names if name not in known]
    if unknown:
        complain(f"unknown model {', '.join(unknown)}; the catalogue has {', '.join(known)}")
        return None
    return [known[name] for name in names] if names else models


def has_sources(model, models_folder):
    return all((models_folder / source.file).is_file() for source in model.sources)


def is_due(model, options, path):
    """Whether there is something to export; says why where there is not."""
    import archive

    if model.built_in:
        say(f"{model.name}: built into strata-trainer, there is nothing to export")
        return False
    if not options.force and archive.is_current(path, model):
        say(f"{model.name}: {path} is up to date")
        return False
    if model.by_hand and not options.names and not has_sources(model, options.models):
        say(f"{model.name}: left out, its weights are fetched by hand (README.md)")
        return False
    return True


def export_one(model, builder, models_folder, path):
    """Verifies, builds, writes; raises on anything wrong."""
    import archive

    started = time.monotonic()
    say(f"{model.name}: checking {len(model.sources)} source file(s)")
    catalogue.verify_sources(model, models_folder)
    say(f"{model.name}: building")
    module = builder.build(model.paths(models_folder, "weights"), model.settings)
    extra = builder.extra(model, models_folder)
    say(f"{model.name}: scripting, running the self-test, writing {path}")
    archive.write(path, model, module.eval(), builder.inputs(module), builder.tolerance, extra)
    say(
        f"{model.name}: done, {path.stat().st_size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s, "
        f"identity {catalogue.identity(model)[:16]}"
    )


def main(arguments):
    options = parse_arguments(arguments)
    models = catalogue.load()
    if options.list:
        for model in models:
            print(f"{model.name}\t{model.role}\t{model.family}\t{catalogue.identity(model)}")
        return 0
    folder = options.models
    if options.weights is not None:
        one = chosen_local(options.names, options.weights)
        wanted = None if one is None else [one]
        folder = options.weights.parent
    else:
        wanted = chosen(models, options.names)
    if wanted is None:
        return EXIT_USAGE
    try:
        import archive  # noqa: F401
        from builders import builder_of
        from torch.jit import Error as ScriptError
    except ModuleNotFoundError as error:
        complain(
            f"this Python ({sys.executable}) has no module '{error.name}'. Run /usr/bin/python3 {__file__}, "
            "with Debian's python3-torch and python3-numpy (scripts/bootstrap run installs them)."
        )
        return EXIT_FAILED
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for model in wanted:
        path = options.out / f"{model.name}.pt"
        if not is_due(model, options, path):
            continue
        try:
            export_one(model, builder_of(model), folder, path)
        except (OSError, ValueError, RuntimeError, ScriptError) as error:
            complain(f"{model.name}: {error}")
            failed.append(model.name)
    if options.weights is not None and not failed:
        listing = catalogue.add_to_listing(options.out / "catalogue.json", wanted[0])
        say(f"{wanted[0].name}: name {listing} under `models:` of the sweep, and !model {wanted[0].name} in it")
    if failed:
        complain(f"not exported: {', '.join(failed)}")
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
