"""SFT and continued pretraining on trl.SFTTrainer.

Row: prompt and completion (loss on the completion), messages (loss on the assistant's turns), or
text (loss on all of it). Pretraining is the same loss on packed text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fai_rl.launch.events import EventWriter
from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe
from fai_rl.trainers.arguments import trl_arguments
from fai_rl.trainers.data_lines import data_lines
from fai_rl.trainers.model import check_context, load_model, load_tokenizer, lora_config
from fai_rl.trainers.prepared import Prepared, prepare
from fai_rl.trainers.tokenization import Tokenization

if TYPE_CHECKING:
    from trl import SFTTrainer


def build_trainer(
    recipe: Recipe, run: RunFolder, events: EventWriter
) -> tuple[SFTTrainer, Prepared]:
    """Return a trainer ready to train, and the data it was given.

    Data is read and tokenized, and every fault in it reported, before weights are loaded.

    Raises:
        FaiRLError: Data, model or arguments can't be used.
    """
    from accelerate import PartialState
    from trl import SFTConfig, SFTTrainer

    packing = bool(recipe.trl_value("packing"))
    eval_packing = recipe.trl.get("eval_packing") and recipe.has_evaluation
    arguments = cast(
        SFTConfig,
        trl_arguments(
            recipe,
            run,
            # Ids and labels come ready made; only packing is left to TRL.
            dataset_kwargs=None if packing or eval_packing else {"skip_prepare_dataset": True},
            assistant_only_loss=False,
            chat_template_path=None,
            model_init_kwargs=None,
        ),
    )
    state = PartialState()
    events.send("phase", text="preparing data")
    tokenizer = load_tokenizer(recipe, run, events)
    tokenization = Tokenization(
        tokenizer,
        arguments.max_length,
        cut=not packing,
        keep_end=arguments.truncation_mode == "keep_end",
        completion_only=arguments.completion_only_loss,
        assistant_only=recipe.trl.get("assistant_only_loss"),
    )
    with state.main_process_first():
        data = prepare(recipe, tokenization, run.data, state.is_main_process)
    events.send("text", lines=data_lines(data, arguments.max_length, packing))
    longest = max((report.longest for report in data.tokens.values()), default=0)
    if arguments.max_length is not None:
        longest = arguments.max_length if packing else min(longest, arguments.max_length)
    if state.is_main_process:
        check_context(recipe, run, longest)
    events.send("phase", text="loading the model")
    trainer = SFTTrainer(
        model=load_model(recipe, run),
        args=arguments,
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        processing_class=tokenizer,
        peft_config=lora_config(recipe),
    )
    return trainer, data
