"""Evaluate a model on the task beside this file, without network: ``python evaluate.py MODEL``.

Needs ``pip install 'toeplitz-theory[eval]'``.
"""

import os
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # before the packages below are loaded

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer

from toeplitz_theory import TMMForCausalLM

folder = Path(sys.argv[1]).resolve()
os.chdir(Path(__file__).parent)  # the task names its file from here
model = TMMForCausalLM.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
evaluated = HFLM(
    pretrained=model,
    tokenizer=tokenizer,
    device="cpu",
    batch_size=4,
    max_length=model.config.max_position_embeddings,
)
tasks = TaskManager(include_path=".", include_defaults=False)
results = simple_evaluate(evaluated, tasks=["docstrings"], task_manager=tasks)
for name, value in results["results"]["docstrings"].items():
    print(name, value)
