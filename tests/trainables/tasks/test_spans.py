"""Marking the spans of WSC, whose indexes are sometimes off."""

from __future__ import annotations

from trainables.tasks.superglue import mark_spans


def marked(text: str, noun: tuple[str, int], pronoun: tuple[str, int]) -> str:
    row = {"text": text, "span1_text": noun[0], "span1_index": noun[1]}
    return mark_spans(row | {"span2_text": pronoun[0], "span2_index": pronoun[1]})["marked"]


def test_spans_of_several_words() -> None:
    text = "The old sailor thanked the girl because she helped him."
    assert marked(text, ("The old sailor", 0), ("him", 9)) == (
        "*The old sailor* thanked the girl because she helped _him_."
    )


def test_the_occurrence_nearest_to_the_index_counts() -> None:
    text = "It rained and it poured until it stopped near Iti."
    assert marked(text, ("It", 0), ("it", 5)) == "*It* rained and it poured until _it_ stopped near Iti."
    assert marked(text, ("It", 0), ("it", 4)) == "*It* rained and _it_ poured until it stopped near Iti."


def test_parts_of_words_do_not_count() -> None:
    assert marked("The theme of the play", ("the", 3), ("play", 4)) == "The theme of *the* _play_"


def test_spans_beside_each_other_and_one_in_the_other() -> None:
    assert marked("Ann 's dog", ("Ann", 0), ("'s", 1)) == "*Ann* _'s_ dog"
    assert marked("we met his mother", ("his mother", 2), ("his", 2)).count("_") == 2


def test_other_spacing_and_case_still_count() -> None:
    assert marked("the  Big\ndog saw him", ("big dog", 1), ("Him", 4)) == "the  *Big\ndog* saw _him_"


def test_a_span_that_is_not_there_stays_unmarked() -> None:
    assert marked("the dog saw him", ("cat", 1), ("him", 3)) == "the dog saw _him_"
