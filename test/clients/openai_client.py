# SPDX-License-Identifier: Apache-2.0
"""PyPI's openai client, unchanged, against a running server: chat, streams, log-probs, seeds, errors, cancelling.

    python3 test/clients/openai_client.py http://127.0.0.1:8080
"""
import concurrent.futures
import sys

import openai

BASE = sys.argv[1].rstrip("/")
client = openai.OpenAI(base_url=BASE + "/v1", api_key="none", max_retries=0)
MODEL = client.models.list().data[0].id
MESSAGES = [{"role": "system", "content": "Answer shortly."}, {"role": "user", "content": "Name three colours."}]
done = 0


def passed(name):
    global done
    done += 1
    print("ok", name)


def chat(**more):
    args = dict(model=MODEL, messages=MESSAGES, temperature=0.8, seed=7, max_tokens=24)
    args.update(more)
    return client.chat.completions.create(**args)


def streamed(**more):
    text, last, usage = "", None, None
    for chunk in chat(stream=True, stream_options={"include_usage": True}, **more):
        usage = chunk.usage or usage
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            last = chunk.choices[0].finish_reason or last
    return text, last, usage


def refused(kind, words, **more):
    try:
        chat(**more)
    except kind as e:
        assert words in str(e), str(e)
    else:
        raise AssertionError(f"{more} was not refused")


whole = chat()
assert whole.choices[0].message.role == "assistant" and whole.choices[0].finish_reason in ("stop", "length")
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert whole.system_fingerprint.startswith("sv1-")
passed("chat")

text, finish, usage = streamed()
assert text == whole.choices[0].message.content and finish == whole.choices[0].finish_reason
assert usage == whole.usage
passed("a stream says what a whole reply says")

with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for again in pool.map(lambda _: chat(), range(8)):
        assert again.choices[0].message.content == whole.choices[0].message.content
        assert again.samsvar["output_sha256"] == whole.samsvar["output_sha256"]
passed("eight at once say what one says")

lp = chat(logprobs=True, top_logprobs=3, max_tokens=4)
assert len(lp.choices[0].logprobs.content) == 4 and len(lp.choices[0].logprobs.content[0].top_logprobs) == 3
assert all(t.logprob <= 0 for t in lp.choices[0].logprobs.content)
passed("log-probs")

many = chat(n=3)
assert [c.index for c in many.choices] == [0, 1, 2]
assert many.choices[0].message.content == whole.choices[0].message.content
passed("n")

first = whole.choices[0].message.content.strip().split()[1]
cut = chat(stop=[first])
assert first not in cut.choices[0].message.content and cut.choices[0].finish_reason == "stop"
passed("stop")

raw = client.completions.create(model=MODEL, prompt="The sea is", max_tokens=5, temperature=0, logprobs=2)
assert len(raw.choices[0].logprobs.token_logprobs) == 5
passed("completions")

refused(openai.BadRequestError, "from 0 to 2", temperature=2.5)
refused(openai.BadRequestError, "context", max_tokens=None, messages=[{"role": "user", "content": "word " * 20000}])
refused(openai.NotFoundError, "there is", model="other")
passed("errors")

stream = chat(stream=True, max_tokens=1000, extra_body={"ignore_eos": True})
next(iter(stream))
stream.close()
assert chat().choices[0].message.content == whole.choices[0].message.content
passed("leaving a stream")
print(f"{done} passed (openai {openai.__version__})")
