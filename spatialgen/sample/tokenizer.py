"""The tokenizer of the small text models: one token per common Chinese character, bytes otherwise.

It is a Qwen2Tokenizer, byte-level BPE, whose merges stay inside a character. So no character is
unknown, and a caption is cut the same way whatever stands beside it: 上 is one token in 桌子上 and
in 上海 alike.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken
from tokenizers.pre_tokenizers import ByteLevel

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

END_OF_TEXT = "<|endoftext|>"
START, END = "<|im_start|>", "<|im_end|>"
ROLES = ("user", "assistant")  # one token each, for they stand in every prompt
CHAT_TEMPLATE = (  # ChatML, as Qwen2's without its default system prompt
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
VISION_TOKENS = (  # in Qwen2-VL's order
    "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
BETWEEN_CORNERS = "),("  # one token, as in Qwen2's vocabulary
VISION_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def common_characters() -> Iterator[str]:
    """The 3,755 characters of GB 2312 level 1, the common ones."""
    for row in range(0xB0, 0xD8):
        for cell in range(0xA1, 0xFF if row < 0xD7 else 0xFA):
            yield bytes([row, cell]).decode("gb2312")


def make_tokenizer(characters: Iterable[str]) -> "Qwen2Tokenizer":
    """A Qwen2Tokenizer with a token for each of `characters` and for every byte."""
    return _tokenizer([*ROLES, *sorted(set(characters))], (START, END), CHAT_TEMPLATE)


def make_vision_tokenizer(characters: Iterable[str]) -> "Qwen2Tokenizer":
    """The same with Qwen2-VL's special tokens and chat template."""
    texts = [*ROLES, BETWEEN_CORNERS, *sorted(set(characters))]
    return _tokenizer(texts, (START, END, *VISION_TOKENS), VISION_CHAT_TEMPLATE)


def _tokenizer(
    texts: Iterable[str], special: Iterable[str], chat_template: str
) -> "Qwen2Tokenizer":
    from transformers import Qwen2Tokenizer

    vocab = {symbol: number for number, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    merges: list[Any] = []  # pairs, which Qwen2Tokenizer takes though it declares text
    for text in texts:
        symbols = _byte_symbols(text)
        for size in range(2, len(symbols) + 1):
            joined = symbols[:size]
            if joined not in vocab:
                vocab[joined] = len(vocab)
                merges.append((joined[:-1], joined[-1]))
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=merges, eos_token=END, pad_token=END_OF_TEXT, model_max_length=1024
    )
    tokenizer.add_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.chat_template = chat_template
    return tokenizer


def _byte_symbols(text: str) -> str:
    """UTF-8 bytes in the printable alphabet of byte-level BPE."""
    (piece, _), *_ = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return piece
