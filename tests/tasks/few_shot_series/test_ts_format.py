"""The reader of .ts files: aeon's reader is the oracle, odd files have stated outcomes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from harness.api.errors import DataError
from harness.sources import DataSources
from harness.tasks.few_shot_series._archive import SETS
from harness.tasks.few_shot_series._ts_format import normal, read

HEADER = "@problemName toy\n@timeStamps false\n@univariate true\n@classLabel true a b\n@data\n"


def written(folder: Path, text: str | bytes, name: str = "toy_TRAIN.ts") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_one_case_of_one_step_is_read(tmp_path: Path) -> None:
    found = read(written(tmp_path, HEADER + "1.5:a\n"))
    assert [(case.series.tolist(), case.label) for case in found.cases] == [([[1.5]], "a")]
    assert found.classes == ("a", "b")


def test_missing_values_are_nan_and_unequal_lengths_stay(tmp_path: Path) -> None:
    found = read(written(tmp_path, HEADER + "1,?,NaN:a\n4:b\n"))
    assert np.array_equal(found.cases[0].series, [[1.0], [np.nan], [np.nan]], equal_nan=True)
    assert [len(case.series) for case in found.cases] == [3, 1]


def test_windows_lines_a_byte_order_mark_comments_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    text = "# about\n" + HEADER.replace("@data", "\n@data") + "1,2:a\n\n3,4:B\n"
    plain = read(written(tmp_path, text))
    odd = read(written(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), "odd.ts"))
    packed = read(written(tmp_path, gzip.compress(text.encode()), "packed.ts.gz"))
    for other in (odd, packed):
        assert [case.label for case in other.cases] == [case.label for case in plain.cases] == ["a", "b"]
        assert all(np.array_equal(one.series, two.series) for one, two in zip(other.cases, plain.cases, strict=True))


@pytest.mark.parametrize(
    ("label", "same"), [("1.0", "1"), (" 2 ", "2"), ("1.50", "1.5"), ("Walking", "walking"), ("-3.0", "-3")]
)
def test_labels_compare_as_numbers_or_without_case(label: str, same: str) -> None:
    assert normal(label) == same


def test_float_labels_match_whole_ones_in_the_header(tmp_path: Path) -> None:
    found = read(written(tmp_path, HEADER.replace("true a b", "true 1 2") + "1,2:2.0\n"))
    assert found.cases[0].label == "2"


@pytest.mark.parametrize("tag", ["@dimension 2", "@dimensions 2"])
def test_both_spellings_of_the_channel_count_are_checked(tmp_path: Path, tag: str) -> None:
    header = HEADER.replace("@univariate true", f"@univariate false\n{tag}")
    assert read(written(tmp_path, header + "1,2:3,4:a\n")).cases[0].series.tolist() == [[1, 3], [2, 4]]
    with pytest.raises(DataError, match="line 7: 1 channels, but the header says 2"):
        read(written(tmp_path, header + "1,2:a\n"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEADER.replace("@timeStamps false", "@timeStamps true") + "(0,1):a\n", "timeStamps are not read"),
        (HEADER + "(0,1.0),(1,2.0):a\n", "timestamps, which are not read"),
        (HEADER + "1,2:c\n", "label 'c' is none of the header's a, b"),
        (HEADER + "1,2\n", "no colon"),
        (HEADER + "1,two:a\n", "could not convert"),
        (HEADER + "1,inf:a\n", "infinite"),
        (HEADER + "1:2:a\n", "says @univariate true"),
        (HEADER, "no cases after @data"),
        (HEADER.replace("@data\n", ""), "no @data"),
        (HEADER.replace("@classLabel true a b", "@classLabel false") + "1\n", "names no classes"),
        (HEADER.replace("@classLabel true a b", "@targetLabel true") + "1:2\n", "names no classes"),
        (HEADER.replace("true a b", "true a a") + "1:a\n", "each once"),
        (HEADER.replace("@univariate true", "@univariate maybe") + "1:a\n", "true or false"),
        (HEADER.replace("@univariate true", "@dimensions none") + "1:a\n", "a number of 1 or more"),
        ("1,2:a\n", "begins with @"),
        (HEADER.replace("@univariate true", "") + "1:2:a\n1:a\n", "1 to 2 channels"),
        (HEADER.replace("@univariate true", "") + "1,2:3:a\n", "channels of 2, 1 values"),
        (HEADER.replace("@univariate true", "@equalLength true\n@seriesLength 2") + "1:a\n", "@seriesLength 2"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(written(tmp_path, text))


def test_a_file_that_is_cut_short_or_no_text_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "1,2:a\n" * 500).encode())
    with pytest.raises(DataError, match="cut short"):
        read(written(tmp_path, whole[: len(whole) // 2], "cut.ts.gz"))
    with pytest.raises(DataError, match="not UTF-8"):
        read(written(tmp_path, HEADER.encode() + b"\xff\xfe:a\n"))


@pytest.mark.parametrize("name", ["JapaneseVowels", "GunPoint", "Handwriting", "PickupGestureWiimoteZ", "PLAID"])
def test_the_pinned_files_read_as_aeon_reads_them(name: str, real_sources: DataSources, tmp_path: Path) -> None:
    pytest.importorskip("aeon")
    from aeon.datasets import load_from_ts_file

    path = real_sources.path(SETS[name].dataset(name), "train")
    text = gzip.decompress(path.read_bytes()).decode()
    if name == "PLAID":
        # the header is silent on its unequal lengths, which aeon then refuses
        text = text.replace("@univariate true", "@univariate true\n@equalLength false")
    series, labels = load_from_ts_file(str(written(tmp_path, text)))
    ours = read(path)
    assert len(ours.classes) == SETS[name].classes
    assert [case.label for case in ours.cases] == [normal(str(label)) for label in labels]
    assert all(np.array_equal(case.series.T, other) for case, other in zip(ours.cases, series, strict=True))


def test_missing_values_are_read_as_aeon_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("aeon")
    from aeon.datasets import load_from_ts_file

    file = written(tmp_path, HEADER.replace("true a b", "true a b\n@equalLength false\n@missing true") + "1,?:a\n?:b\n")
    series, _ = load_from_ts_file(str(file))
    assert all(
        np.array_equal(case.series.T, other, equal_nan=True)
        for case, other in zip(read(file).cases, series, strict=True)
    )
