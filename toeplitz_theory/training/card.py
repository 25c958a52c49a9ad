"""What a finished run says of itself: ``training.json`` and the model card."""

import platform
import sys
from dataclasses import asdict
from importlib.metadata import version

from toeplitz_theory.training.tokenizer import tokenizer_hash

PACKAGES = ("toeplitz-theory", "torch", "transformers", "tokenizers", "numpy", "safetensors")
_OBJECTIVES = {
    "next_token": "predicts each next token of the text",
    "autoencode": "gives back all tokens of its input from the encoder's last hidden vector",
}

_REMARK = """ This model has seen the token it is asked for: the unigram loss is what it would
reach having kept nothing, and what lies below it is what passed through one hidden vector."""


def run_record(
    recipe, tokens, trainer, weights: str | None, validation_loss: float, history: list[dict]
) -> dict:
    """Return everything needed to repeat a run and to judge its loss, ready for JSON."""
    processes, model = trainer.args.world_size, trainer.model
    machine = f"{recipe.training.threads} thread(s)" + (f" in each of {processes}" if processes > 1 else "")
    training_losses = [row["loss"] for row in history if "loss" in row]
    return {
        "name": recipe.name,
        "recipe": recipe.model_dump(),
        "parameters": model.num_parameters(),
        "vocabulary": model.config.vocab_size,
        "tokenizer": tokenizer_hash(tokens.tokenizer),
        "weights": weights,
        "corpus": {
            **asdict(tokens.text),
            "training_sequences": len(trainer.train_dataset),
            "validation_sequences": len(trainer.eval_dataset),
        },
        "loss_unit": "nats per token",
        "validation_loss": validation_loss,
        "training_loss": sum(training_losses[-5:]) / len(training_losses[-5:]) if training_losses else None,
        "baselines": asdict(tokens.baselines),
        "tokens_seen": history[-1]["tokens"] if history else 0,
        "seconds": history[-1]["seconds"] if history else 0.0,
        "machine": f"{platform.machine()}, {machine}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "platform": sys.platform,
    }


def model_card(recipe, record: dict) -> str:
    """Return the model card as Markdown, with the metadata block that model hubs read."""
    base, corpus, model = record["baselines"], record["corpus"], recipe.model
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    predicts = recipe.objective == "next_token"
    task = "text-generation" if predicts else "feature-extraction"
    stacks = "" if predicts else " in the encoder and as many in the decoder"
    remark = "" if predicts else _REMARK
    return f"""---
library_name: transformers
license: apache-2.0
pipeline_tag: {task}
tags: [toeplitz, mlp-mixer]
---

# {recipe.name}

A Toeplitz MLP Mixer that {_OBJECTIVES[recipe.objective]}.
{record["parameters"]:,} parameters: width {model.hidden_size}, {model.num_hidden_layers} blocks{stacks},
{model.num_heads} head(s) a block, n = {recipe.data.sequence_length} tokens, vocabulary
{record["vocabulary"]:,}.

It is made for studying what training does to Toeplitz layers, not for writing text.

## Loss on held-out documents

| | nats per token |
|---|---|
| **this model** | **{record["validation_loss"]:.4f}** |
| trigram counts | {base["trigram"]:.4f} |
| bigram counts | {base["bigram"]:.4f} |
| unigram counts | {base["unigram"]:.4f} |
| uniform guess | {base["uniform"]:.4f} |

The count models come from the same training documents (interpolated absolute discounting) and predict
the *next* token.{remark}

## How it was made

`toeplitz-theory train recipe.toml`: {record["tokens_seen"]:,} tokens in {record["seconds"]:,.0f} s
({record["machine"]}), seed {recipe.training.seed}. The curve is in `history.jsonl`, the Toeplitz kernels
through training in `kernels/`, everything else in `training.json`.

- Text: {corpus["name"]}; {corpus["documents"]} documents, {corpus["characters"]:,} characters,
  sha256 `{corpus["sha256"]}`.
- {corpus["training_sequences"]:,} training and {corpus["validation_sequences"]:,} validation sequences,
  split by document.
- Python {record["python"]}; {versions}.
"""
