"""A small model and its tokenizer, built on the spot: nothing is downloaded.

An ordinary `transformers` Llama and an ordinary fast tokenizer, so whatever works on them (LoRA,
4-bit, saving, generation) takes the same path as with a model from a hub.

    tokens   256 bytes, then `<|pad|>`, `<|system|>`, `<|user|>`, `<|assistant|>`, `<|end|>`
    turn     `<|user|>` text `<|assistant|>` text `<|end|>`
"""

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BUILTIN_MODEL = "builtin:tiny"
MAX_TOKENS = 2048

_PAD, _END = "<|pad|>", "<|end|>"
_SPECIAL_TOKENS = (_PAD, "<|system|>", "<|user|>", "<|assistant|>", _END)
_VOCAB_SIZE = 256 + len(_SPECIAL_TOKENS)

# Only the assistant's turn has an end token: the others are ended by the next role's token, which
# keeps short prompts short. The generation markers take in the end token, so that loss on the
# assistant's tokens alone still teaches the model to stop.
_CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '<|assistant|>' -}}
{%- generation -%}{{- message.content + '<|end|>' -}}{%- endgeneration -%}
{%- elif message.role in ('system', 'user') -%}
{{- '<|' + message.role + '|>' + message.content -}}
{%- else -%}
{{- raise_exception('a message is from system, user or assistant, not ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with a chat template.

    Any text comes back from `decode(encode(text))` exactly: a byte's token id is its value, and
    nothing is normalised, merged, stripped or added. A special token's name written inside a text
    becomes that token, as in other chat tokenizers.

    The template takes system, user and assistant messages with string contents, and marks the
    assistant's tokens for `assistant_only_loss`. A prompt rendered with
    `add_generation_prompt=True` is an exact token prefix of the whole conversation.
    """
    characters = _byte_characters()
    vocab = {character: byte for byte, character in enumerate(characters)}
    backend = Tokenizer(BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in _SPECIAL_TOKENS]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=_PAD,
        eos_token=_END,
        model_max_length=MAX_TOKENS,
        clean_up_tokenization_spaces=False,
        # Generation continues the last token of a row, which in a batch has to be the prompt's.
        padding_side="left",
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def build_model(seed: int = 0) -> LlamaForCausalLM:
    """Return a fresh Llama of 0.4 M parameters, in float32, on the CPU, in training mode.

    Args:
        seed: Fixes the weights. The global random state is neither used nor changed.

    Returns:
        A model for the tokenizer of `build_tokenizer`, with a context of 2,048 tokens.
    """
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=_VOCAB_SIZE,
        # Multiples of 64, the block size of 4-bit weights.
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        # Eight narrow heads learn addition in fewer steps than four; two hardly learn it.
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=MAX_TOKENS,
        tie_word_embeddings=False,
        # About 1 / sqrt(hidden_size). The usual 0.02 suits wide models: with it, two-digit addition
        # stands near 20 % after 400 steps, where this start is above 90 %.
        initializer_range=0.08,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
        name_or_path=BUILTIN_MODEL,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
    )
    return model.float().train()


def _byte_characters() -> list[str]:
    """Return the 256 characters that stand for the bytes in byte-level tokenizers, by byte value.

    This is GPT-2's table: printable Latin-1 characters stand for themselves, the other bytes for
    the characters from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]
