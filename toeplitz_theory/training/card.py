"""What a finished run says of itself: ``training.json`` and the model card."""

import platform
import sys
from importlib.metadata import version

from toeplitz_theory.files import own_commit
from toeplitz_theory.training.tokenizer import tokenizer_hash

PACKAGES = ("toeplitz-theory", "torch", "transformers", "tokenizers", "numpy", "safetensors")
_OBJECTIVES = {
    "next_token": "predicts each next token of the text",
    "autoencode": "gives back all tokens of its input from the encoder's last hidden vector",
    "copy": "gives a string of random letters back after its end",
    "recall": "names the value of each key it is asked for (multi-query associative recall)",
    "induction": "names the letter that followed a mark, when the mark comes again",
}

_REMARK = """ This model has seen the token it is asked for: the unigram loss is what it would
reach having kept nothing, and what lies below it is what passed through one hidden vector."""

_ONE_TAP = """A string of one length alone always lies the same number of tokens back: one tap
solves that, and it says nothing about addressing, for which strings of several lengths ask."""


_NO_LICENSE = """**No licence has been chosen.** Before you share this model, write `license: ...` between
the dashes above (the text it was trained on may have a say). `license = "..."` in a recipe does it for you.

"""

_USE = """import toeplitz_theory.tmm  # tells transformers what this model is
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this file lies
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
ids = tokenizer("def read", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=20)[0]))"""

_USE_CODES = """import toeplitz_theory as tt
from transformers import AutoTokenizer

folder = "."  # where this file lies
model, tokenizer = tt.TMMForAutoencoding.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
ids = tokenizer("def read", return_tensors="pt", padding="max_length").input_ids
print(tokenizer.decode(model(ids).logits.argmax(-1)[0]))  # what comes back from one hidden vector"""


def run_record(
    recipe, data, trainer, weights: str | None, validation_loss: float, history: list[dict]
) -> dict:
    """Return everything needed to repeat a run and to judge its loss, ready for JSON."""
    processes, model = trainer.args.world_size, trainer.model
    machine = f"{recipe.training.threads} thread(s)" + (f" in each of {processes}" if processes > 1 else "")
    training_losses = [row["loss"] for row in history if "loss" in row]
    return {
        "name": recipe.name,
        "recipe": recipe.model_dump(exclude={"data"} if recipe.task else {"task"}),
        "parameters": model.num_parameters(),
        "vocabulary": model.config.vocab_size,
        "tokenizer": tokenizer_hash(data.tokenizer),
        "weights": weights,
        **data.record(trainer),
        "validation_loss": validation_loss,
        "training_loss": sum(training_losses[-5:]) / len(training_losses[-5:]) if training_losses else None,
        "tokens_seen": history[-1]["tokens"] if history else 0,
        "seconds": history[-1]["seconds"] if history else 0.0,
        "machine": f"{platform.machine()}, {machine}",
        "python": platform.python_version(),
        "commit": own_commit(),
        "versions": {name: version(name) for name in PACKAGES},
        "platform": sys.platform,
    }


def model_card(recipe, record: dict) -> str:
    """Return the model card as Markdown, with the metadata block that model hubs read."""
    model = recipe.model
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    codes = recipe.objective == "autoencode"
    pipeline = "feature-extraction" if codes else "text-generation"
    stacks = " in the encoder and as many in the decoder" if codes else ""
    kind = (
        "A Toeplitz MLP Mixer" if "toeplitz" in model.mixer else f"An MLP mixer with {model.mixer} over time"
    )
    judged, drawn = (_answers, _rows) if recipe.task else (_losses, _text)
    terms = f"license: {recipe.license}\n" if recipe.license else ""
    return f"""---
library_name: transformers
{terms}pipeline_tag: {pipeline}
tags: [toeplitz, mlp-mixer]
---

# {recipe.name}

{kind} that {_OBJECTIVES[recipe.objective]}.
{record["parameters"]:,} parameters: width {model.hidden_size}, {model.num_hidden_layers} blocks{stacks},
{model.num_heads} head(s) a block, n = {recipe.sequence_length} tokens, vocabulary
{record["vocabulary"]:,}.

It is made for studying what training does to Toeplitz layers, not for writing text.

{"" if recipe.license else _NO_LICENSE}## How to use it

```python
{_USE_CODES if codes else _USE}
```

{judged(recipe, record)}

## How it was made

`toeplitz-theory train recipe.toml`: {record["tokens_seen"]:,} tokens in {record["seconds"]:,.0f} s
({record["machine"]}), seed {recipe.training.seed}. The curve is in `history.jsonl`, the Toeplitz kernels
through training in `kernels/`, everything else in `training.json`.

{drawn(record)}
- Python {record["python"]}; {versions}.
"""


def _losses(recipe, record: dict) -> str:
    base, remark = record["baselines"], _REMARK if recipe.objective == "autoencode" else ""
    return f"""## Loss on held-out documents

| | nats per token |
|---|---|
| **this model** | **{record["validation_loss"]:.4f}** |
| trigram counts | {base["trigram"]:.4f} |
| bigram counts | {base["bigram"]:.4f} |
| unigram counts | {base["unigram"]:.4f} |
| uniform guess | {base["uniform"]:.4f} |

The count models come from the same training documents (interpolated absolute discounting) and predict
the *next* token.{remark}"""


def _text(record: dict) -> str:
    corpus = record["corpus"]
    return f"""- Text: {corpus["name"]}; {corpus["documents"]} documents, {corpus["characters"]:,} characters,
  sha256 `{corpus["sha256"]}`.
- {corpus["training_sequences"]:,} training and {corpus["validation_sequences"]:,} validation sequences,
  split by document."""


def _answers(recipe, record: dict) -> str:
    lines = [
        f"| {name} | {_share(scores['token'])} | {_share(scores['string'])} |"
        for name, scores in record["accuracy"].items()
    ]
    lines += [
        f"| guessing: {name.replace('_', ' ')} | {share:.3f} | |"
        for name, share in record["baselines"].items()
    ]
    remark = ""
    if recipe.objective == "copy":
        count = len(recipe.task.lengths)
        remark = f"\n\nTrained on {count} length(s). {_ONE_TAP}"
    return f"""## Answers on fresh rows

| rows | answers | rows with all of their answers |
|---|---|---|
{chr(10).join(lines)}

Shares of 500 rows that no training has seen, with 95 % intervals; the loss is {record["validation_loss"]:.4f}
nats per answer. Guessing picks any possible answer (chance), the commonest one, or one of those that stand
before the question.{remark}"""


def _share(numbers: list[float]) -> str:
    value, low, high = numbers
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _rows(record: dict) -> str:
    task = ", ".join(f"{name} = {value}" for name, value in record["task"].items() if value is not None)
    return f"- Rows drawn afresh for each step, by seed and step: {task}."
