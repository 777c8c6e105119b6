"""Encoded variants: made once, kept, and never believed without proof."""

import asyncio
import hashlib
import os
from pathlib import Path

import brotli
import pytest

from gateway.disk.encoder import Encoder

CONTENT = b"the same line over and over again\n" * 500
DIGEST = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return Encoder(tmp_path / "encoded")


def make(encoder: Encoder, content: bytes = CONTENT) -> dict[str, bytes]:
    return dict(asyncio.run(encoder.make(content, hashlib.sha256(content).digest())))


def test_what_was_made_is_found_again(encoder: Encoder) -> None:
    made = make(encoder)
    assert set(made) == {"zstd", "br", "gzip"}
    assert encoder.load(CONTENT, DIGEST) == made
    assert Encoder.is_complete(made)


def test_equal_content_makes_equal_bytes_on_every_node(tmp_path: Path) -> None:
    assert make(Encoder(tmp_path / "one")) == make(Encoder(tmp_path / "two"))


def test_what_does_not_shrink_is_not_kept(encoder: Encoder, tmp_path: Path) -> None:
    assert make(encoder, os.urandom(4000)) == {}
    assert not list(tmp_path.rglob("*.br"))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not brotli at all",
        brotli.compress(b"other content"),  # valid, but of something else
        brotli.compress(CONTENT)[:-3],  # cut off
        brotli.compress(CONTENT) + b"more",
        brotli.compress(b"\0" * (64 << 20)),  # a bomb: 64 MiB from 60 bytes
    ],
    ids=["empty", "garbage", "foreign", "cut off", "longer", "bomb"],
)
def test_a_damaged_file_is_never_used_and_is_made_anew(encoder: Encoder, damage: bytes) -> None:
    good = make(encoder)
    path = encoder.path(DIGEST, "br")
    path.write_bytes(damage)
    assert "br" not in encoder.load(CONTENT, DIGEST)
    assert make(encoder) == good
    assert path.read_bytes() == good["br"]


@pytest.mark.parametrize("coding", ["zstd", "gzip"])
def test_other_codings_are_checked_too(encoder: Encoder, coding: str) -> None:
    make(encoder)
    encoder.path(DIGEST, coding).write_bytes(b"damaged")
    assert set(encoder.load(CONTENT, DIGEST)) == {"zstd", "br", "gzip"} - {coding}


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "encoded").write_bytes(b"a file where the folder should be")
    assert set(make(Encoder(tmp_path / "encoded"))) == {"zstd", "br", "gzip"}
