"""What a finished run says of itself: ``training.json`` and the model card."""

import platform
import sys
from importlib.metadata import version

import jinja2

from toeplitz_theory.files import own_commit
from toeplitz_theory.training.tokenizer import tokenizer_hash

PACKAGES = ("toeplitz-theory", "torch", "transformers", "tokenizers", "numpy", "safetensors")


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
    loader = jinja2.PackageLoader("toeplitz_theory.training")
    templates = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return templates.get_template("card.md").render(record | {"recipe": recipe}) + "\n"
