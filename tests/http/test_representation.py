"""Variants of one content: what each is called, and what they take in memory."""

import hashlib

from gateway.http.representation import Representation, build_representation
from gateway.names import AssetPath, Slug

CONTENT = b"/* a script */" * 100
OLD = hashlib.sha256(b"old").digest()


def representation() -> Representation:
    return build_representation(
        Slug("One"),
        AssetPath("dist/a.js"),
        content=CONTENT,
        digest=hashlib.sha256(CONTENT).digest(),
        size=len(CONTENT),
        modified_s=1_700_000_000,
        fingerprint=(1, 2, 3, 4, 5),
        may_be_dictionary=True,
    )


def test_a_difference_has_an_etag_for_its_dictionary() -> None:
    plain = representation()
    difference = plain.with_difference(OLD, b"difference").differences[OLD]
    assert difference is not None
    assert difference.etag.opaque == f"{plain.identity.etag.opaque}-dcz-{OLD.hex()[:8]}"
    assert not difference.etag.weak
    assert difference.dictionary == OLD
    assert (b"content-encoding", b"dcz") in difference.described_fields
    assert difference.size == len(b"difference")


def test_differences_and_codings_are_added_to_each_other() -> None:
    first = representation().with_difference(OLD, b"d").with_encoded({"br": b"e"}, final=True)
    second = representation().with_encoded({"br": b"e"}, final=True).with_difference(OLD, b"d")
    assert first == second
    assert set(first.encoded) == {"br"}
    assert set(first.differences) == {OLD}


def test_only_the_last_eight_dictionaries_are_remembered() -> None:
    held = representation()
    for number in range(20):
        held = held.with_difference(bytes([number]) * 32, None if number % 2 else b"difference")
    assert list(held.differences) == [bytes([number]) * 32 for number in range(12, 20)]
    again = held.with_difference(bytes([12]) * 32, b"difference")
    assert list(again.differences)[-1] == bytes([12]) * 32
    assert len(again.differences) == 8


def test_differences_count_as_memory() -> None:
    plain = representation()
    without = plain.with_difference(OLD, None)
    assert plain.memory_bytes < without.memory_bytes
    assert plain.with_difference(OLD, b"x" * 500).memory_bytes == without.memory_bytes + 500
