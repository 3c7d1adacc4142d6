"""Calls of the encoder, gathered: each asker gets its own vectors, and only what still waits is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from ray import serve

from kartoteka.encoding.spans import Spans
from serve.calls import EncoderCalls
from serve.editions import Context, EditionRef
from serve.encoder import Encoded
from serve.settings import AppSettings
from serve.sharing import Shared

FIRST, SECOND = EditionRef("/editions/1", "a"), EditionRef("/editions/2", "b")


@serve.deployment
class Recorder:
    """Answers with the length of each text, once it may; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    async def encode(self, context: Context, texts: list[str], whose: str) -> Encoded:
        self.asked.append((context.edition.digest, texts))
        await asyncio.sleep(0.1)
        if "bad" in texts:
            raise ValueError("text: it is bad")
        lengths = np.array([len(text) for text in texts])
        spans = None
        if whose == "ranker":  # a word for each character
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            spans = Spans(np.repeat(lengths, lengths)[:, None].astype(np.float32), offsets)
        return Encoded(lengths[:, None].astype(np.float32), lengths, spans)

    async def told(self) -> list[tuple[str, list[str]]]:
        return self.asked


@pytest.fixture
def handle() -> Any:
    """A handle as deployments get it, its replica in this process."""
    return serve.run(Recorder.bind(), name="recorder", _local_testing_mode=True)


def calls_of(handle: Any, tokens: int = 4096, calls: int = 1) -> EncoderCalls:
    return EncoderCalls(handle, AppSettings.parse({"batch_tokens": tokens, "encoder_calls": calls}))


def test_what_waits_goes_out_together_and_each_gets_its_own(handle: Any) -> None:
    async def ask() -> list[Encoded]:
        calls = calls_of(handle)
        return await asyncio.gather(*(calls.encode(Context(FIRST, ()), ["x" * n, "y"]) for n in range(1, 31)))

    found = asyncio.run(ask())
    assert [encoded.vectors.ravel().tolist() for encoded in found] == [[n, 1] for n in range(1, 31)]
    assert [encoded.tokens.tolist() for encoded in found] == [[n, 1] for n in range(1, 31)]
    asked = handle.told.remote().result()
    assert [len(texts) for _, texts in asked] == [2, 58]  # the first alone, the others while it was under way


def test_each_gets_the_spans_of_its_own_texts(handle: Any) -> None:
    async def ask() -> list[Encoded]:
        calls = calls_of(handle)
        return await asyncio.gather(*(calls.encode(Context(FIRST, ()), ["x" * n, "y"], "ranker") for n in range(5)))

    for n, encoded in enumerate(asyncio.run(ask())):
        assert encoded.tokens.tolist() == [n, 1]
        assert encoded.spans.offsets.tolist() == [0, n, n + 1]
        assert encoded.spans.scores.ravel().tolist() == [n] * n + [1]


def test_a_call_is_bounded_and_editions_take_turns(handle: Any) -> None:
    async def ask() -> None:
        calls = calls_of(handle, tokens=5)  # 20 characters
        some = [(FIRST, 8), (FIRST, 8), (FIRST, 8), (SECOND, 30), (FIRST, 8), (SECOND, 2)]
        await asyncio.gather(*(calls.encode(Context(ref, ()), ["x" * n]) for ref, n in some))

    asyncio.run(ask())
    asked = [(digest, [len(text) for text in texts]) for digest, texts in handle.told.remote().result()]
    assert asked == [("a", [8]), ("a", [8, 8]), ("b", [30]), ("a", [8]), ("b", [2])]


def test_nobody_waits_for_what_was_given_up(handle: Any) -> None:
    async def ask() -> Encoded:
        calls = calls_of(handle)
        first, second, third = (asyncio.create_task(calls.encode(Context(FIRST, ()), [text])) for text in "abc")
        await asyncio.sleep(0.03)
        first.cancel()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await third

    assert asyncio.run(ask()).tokens.tolist() == [1]
    assert [texts for _, texts in handle.told.remote().result()] == [["a"], ["c"]]


def test_an_error_is_told_to_all_whose_call_it_was(handle: Any) -> None:
    async def ask() -> list[Any]:
        calls = calls_of(handle)
        texts = ["one", "bad", "two"]
        found = await asyncio.gather(
            *(calls.encode(Context(FIRST, ()), [text]) for text in texts), return_exceptions=True
        )
        return [*found, await calls.encode(Context(FIRST, ()), ["next"])]

    one, bad, two, following = asyncio.run(ask())
    assert one.tokens.tolist() == [3]
    assert "it is bad" in str(bad)
    assert "it is bad" in str(two)
    assert following.tokens.tolist() == [4]


def test_one_answer_for_all_who_ask_at_about_the_same_time() -> None:
    made: list[int] = []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0.05)
        return len(made)

    async def ask() -> list[int]:
        shared = Shared(make, 0.2)
        first = await asyncio.gather(*(shared.get() for _ in range(10)))
        await asyncio.sleep(0.25)
        return [*first, await shared.get()]

    assert asyncio.run(ask()) == [1] * 10 + [2]
