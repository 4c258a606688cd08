"""Writing and reading exported archives: TorchScript plus the extra files that make one
self-describing and self-testing.

Extra files: `strata.json` (what the model is), `self_test/input0`, `self_test/output0`, … (raw
little-endian arrays), and for recognizers `vocabulary` (a JSON list of base64 strings: the bytes of
each token id below EOT).
"""

import json
import os
import pathlib
import zipfile

import numpy
import torch

import catalogue

METADATA = "strata.json"
METADATA_BYTES_MAX = 1 << 20


def description(model):
    """The part of strata.json that follows from the catalogue: equal for equal models, whoever
    exported them.
    """
    return {
        "name": model.name,
        "role": model.role,
        "family": model.family,
        "version": model.version,
        "exporter_version": model.exporter_version,
        "identity": catalogue.identity(model),
        "interface": model.interface,
        "licence": model.licence,
        "settings": model.settings,
    }


def read_metadata(path):
    """-> the parsed strata.json of an archive, or None if the file is not an archive of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if (
                    entry.filename.endswith("/extra/" + METADATA)
                    and entry.file_size <= METADATA_BYTES_MAX
                ):
                    return json.loads(archive.read(entry))
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    return None


def is_current(path, model):
    found = read_metadata(path)
    wanted = description(model)
    return found is not None and {key: found.get(key) for key in wanted} == wanted


def as_tuple(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _array(value):
    """A tensor or an integer argument -> a contiguous little-endian array of float32 or int64."""
    array = (
        value.detach().numpy()
        if isinstance(value, torch.Tensor)
        else numpy.array(value, dtype=numpy.int64)
    )
    kind = {"float32": "<f4", "int64": "<i8"}[str(array.dtype)]
    return numpy.ascontiguousarray(array.astype(kind)).reshape(array.shape)


def self_test_files(inputs, outputs):
    """-> ({file: bytes}, the `inputs` and `outputs` lists of strata.json)."""
    files, listed = {}, {"inputs": [], "outputs": []}
    for kind, values in (("input", inputs), ("output", outputs)):
        for index, value in enumerate(values):
            array = _array(value)
            name = f"self_test/{kind}{index}"
            files[name] = array.tobytes()
            listed[kind + "s"].append(
                {"file": name, "shape": list(array.shape), "dtype": str(array.dtype)}
            )
    return files, listed


def largest_difference(got, wanted):
    """max |got - wanted| / max(1, |wanted|) over all outputs; infinite where shape, type, or an
    integer differs.
    """
    if len(got) != len(wanted):
        return float("inf")
    worst = 0.0
    for one, other in zip(got, wanted):
        if one.shape != other.shape or one.dtype != other.dtype or not torch.isfinite(one).all():
            return float("inf")
        if one.dtype == torch.int64:
            worst = worst if torch.equal(one, other) else float("inf")
        elif one.numel() > 0:
            worst = max(worst, float(((one - other).abs() / other.abs().clamp(min=1.0)).max()))
    return worst


def run(module, inputs):
    with torch.no_grad():
        return as_tuple(module(*inputs))


def _sync_folder(folder):
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path, model, module, inputs, tolerance, extra):
    """Scripts `module`, adds the self-test, writes beside `path`, loads back, runs the self-test,
    then renames.

    A reader therefore never sees half an archive, nor one that does not reproduce its own outputs.
    """
    path = pathlib.Path(path)
    scripted = torch.jit.script(module.eval().requires_grad_(False))
    outputs = run(scripted, inputs)
    files, listed = self_test_files(inputs, outputs)
    metadata = {
        **description(model),
        "torch_version": torch.__version__,
        "sources": [
            {**source.origin, "file": source.file, "sha256": source.sha256}
            for source in model.sources
        ],
        "self_test": {**listed, "tolerance": tolerance},
    }
    files.update(extra)
    files[METADATA] = json.dumps(metadata, sort_keys=True, indent=1).encode("utf-8")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        torch.jit.save(scripted, str(partial), _extra_files=files)
        difference = largest_difference(
            run(torch.jit.load(str(partial), map_location="cpu"), inputs), outputs
        )
        if difference > tolerance:
            raise ValueError(
                f"{model.name}: the written archive differs from the model by {difference:g}, "
                f"allowed is {tolerance:g}"
            )
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
