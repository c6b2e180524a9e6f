"""Guarantees of the files: all are there, each can be read, and each is the one that the ledger names."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from sleevegraph.audit.contract import Output
from sleevegraph.audit.document_contract import PhysicalBook, ResolvedManifest, SignTest, Tree, Weights
from sleevegraph.audit.evidence import EXPECTED, KEYS, Evidence, UnreadableError, sha256_of
from sleevegraph.audit.facts import run_id
from sleevegraph.audit.guarantees.verdict import Failure, Verdict, verdict
from sleevegraph.audit.layout import (
    FLATTENED,
    LEDGER,
    MANIFEST,
    META_OPTIMISED,
    OPTIMISED,
    PHYSICAL,
    REPORT,
    SIGN_TEST,
    STREAMS_SIGN_TEST,
    TREE,
)
from sleevegraph.manifest import Manifest
from sleevegraph.meta_book import subtree
from sleevegraph.metas import validate_metas

MODELS: Mapping[str, type[BaseModel]] = {
    MANIFEST: ResolvedManifest,
    OPTIMISED: Weights,
    PHYSICAL: Weights,
    META_OPTIMISED: Weights,
    FLATTENED: PhysicalBook,
    TREE: Tree,
    SIGN_TEST: SignTest,
    STREAMS_SIGN_TEST: SignTest,
}


def schema(evidence: Evidence) -> Verdict:
    """Every file is there and nothing else; each has the columns, keys and types of the format."""
    expected = EXPECTED[evidence.kind]
    found = {*evidence.files, *evidence.unreadable}
    failures = [
        Failure(file, "expected nothing else in the bundle, found this") for file in sorted(found - set(expected))
    ]
    for file in expected:
        failures += [Failure(file, text) for text in _unreadable(evidence, file)]
    return verdict(f"{len(expected)} files, schema version 1", failures)


def _unreadable(evidence: Evidence, file: str) -> Iterator[str]:
    try:
        if file == LEDGER:
            evidence.generations  # noqa: B018 - reading is what is tried
        elif file == REPORT:
            yield from _page(evidence.content(file))
        elif file in KEYS:
            evidence.frame(file)
        else:
            evidence.document(file, MODELS[file])
    except UnreadableError as error:
        yield str(error)


def _page(content: bytes) -> Iterator[str]:
    try:
        if not content.decode("utf-8").strip():
            yield "expected a page, found nothing in it"
    except UnicodeDecodeError as error:
        yield f"expected UTF-8, found {error}"


def hashes(evidence: Evidence) -> Verdict:
    """Each file is the one that its `output` in the newest generation names."""
    outputs = {output.file: output for output in evidence.of(Output)}
    expected = [file for file in EXPECTED[evidence.kind] if file != LEDGER]
    failures = [
        Failure(LEDGER, f"output: expected one record of each file, found {len(evidence.of(Output))} of {len(outputs)}")
    ] * (len(outputs) != len(evidence.of(Output)))
    for file in sorted({*expected, *outputs}):
        if file not in outputs:
            failures.append(Failure(LEDGER, f"output: expected a record of {file}, found none"))
        elif file not in expected:
            failures.append(Failure(LEDGER, f"output: expected no record of {file}, which is no part of a bundle"))
        elif file not in evidence.files:
            failures.append(Failure(file, f"expected {outputs[file].bytes} bytes, found no file"))
        else:
            failures += [Failure(file, text) for text in _changed(evidence.files[file], outputs[file])]
    return verdict(f"{len(outputs)} files as the ledger names them", failures)


def _changed(content: bytes, output: Output) -> Iterator[str]:
    found = sha256_of(content)
    if len(content) != output.bytes:
        yield f"expected {output.bytes} bytes, found {len(content)}"
    elif found != output.sha256:
        yield f"expected SHA-256 {output.sha256[:12]}…, found {found[:12]}…: the file was changed"


def manifest(evidence: Evidence) -> Verdict:
    """The rules are valid, complete, and of the portfolio and date that folder and ledger say."""
    resolved, begin = evidence.resolved, evidence.begins[-1]
    failures = []
    for key in ("schema_version", "run_id", "portfolio", "kind", "partition"):
        ours, theirs = getattr(resolved, key), getattr(begin, key)
        if ours != theirs:
            failures.append(Failure(MANIFEST, f"{key}: expected {theirs!r} as the ledger has it, found {ours!r}"))
    named = run_id(resolved.portfolio, evidence.at)
    for what, found in (("run_id", resolved.run_id), ("folder", evidence.folder or named)):
        if found != named:
            failures.append(Failure(MANIFEST, f"{what}: expected {named}, found {found}"))
    if resolved.kind != evidence.kind:
        failures.append(Failure(MANIFEST, f"kind: expected {evidence.kind} as the files are, found {resolved.kind}"))
    failures += [Failure(MANIFEST, text) for text in _foreign(evidence.manifest, resolved)]
    validate_metas(evidence.manifest.sleeves, evidence.manifest.metas)
    return verdict(f"{resolved.portfolio} at {resolved.partition}, a {resolved.kind}", failures)


def _foreign(rules: Manifest, resolved: ResolvedManifest) -> Iterator[str]:
    """Profiles that the portfolio needs and that are not there, and others."""
    found = [[profile.name for profile in profiles] for profiles in (rules.sleeves, rules.metas)]
    if resolved.kind == "sleeve":
        wanted = [[resolved.portfolio], []]
    else:
        metas = {meta.name: meta for meta in rules.metas}
        if resolved.portfolio not in metas:
            yield f"metas: expected {resolved.portfolio} among them, found {', '.join(metas) or 'none'}"
            return
        nodes = subtree(metas[resolved.portfolio], rules.metas)
        below = {child for node in nodes for child in node.children}
        wanted = [sorted(below - metas.keys()), sorted(node.name for node in nodes)]
    for what, ours, theirs in zip(("sleeves", "metas"), wanted, found, strict=True):
        if sorted(ours) != sorted(theirs):
            yield f"{what}: expected {', '.join(ours) or 'none'}, found {', '.join(theirs) or 'none'}"
