"""LayerwiseCallback in scripts of other people: what they do that our own runs never do."""

from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from irtuning.config import RunConfig
from irtuning.errors import ModelError
from irtuning.tuning.callback import LayerwiseCallback
from irtuning.tuning.layers import find_layers
from irtuning.tuning.methods import make_policy, named_policy
from irtuning.tuning.policies import FixedPolicy, Stack
from tests.conftest import FAMILIES, tiny_model, with_adapter
from tests.tuning.test_callback import data, trainer


@pytest.mark.parametrize("importance", ["gradient", "cosine", "weight"])
def test_layers_without_adapters_are_never_chosen(tmp_path, importance):
    """They are never measured, so their score would stay the highest: the head alone would train."""
    lora = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"], layers_to_transform=[1, 2, 3])
    steps = []
    callback = LayerwiseCallback("ir", importance=importance, emit=steps.append)
    trainer(tmp_path, [callback], model=get_peft_model(tiny_model("llama"), lora), max_steps=8).train()
    assert [layer.depth for layer in callback.layers] == [1, 2, 3]
    assert all(s.selected == s.moved and len(s.scores) == 3 for s in steps)
    assert any(s.selected for s in steps)


def test_one_process_on_several_gpus_is_refused_with_a_way_out():
    with pytest.raises(ModelError, match="accelerate launch"):
        LayerwiseCallback("ir").on_train_begin(SimpleNamespace(n_gpu=2), None, None, model=tiny_model("bert"))


def test_a_training_after_an_interrupted_one_begins_from_all_layers(tmp_path):
    class Interrupts:
        times = 0

        def __call__(self, step):
            self.times += 1
            if self.times == 2:
                raise KeyboardInterrupt

    callback = LayerwiseCallback("ir", emit=Interrupts())
    run = trainer(tmp_path, [callback], max_grad_norm=0.7)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    seen = {}

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, model, **kwargs):
            seen.update(hooks=len(model._forward_hooks), units=[len(layer.parameters) for layer in callback.layers])

    run.add_callback(Watch())
    run.train()
    assert seen["hooks"] == 1
    assert len(set(seen["units"])) == 1
    assert len(seen["units"]) == 4
    assert run.args.max_grad_norm == 0.7
    assert not run.model._forward_hooks


def test_a_new_trainer_on_a_model_whose_training_was_interrupted_begins_from_all_layers(tmp_path):
    def interrupts(step):
        raise KeyboardInterrupt

    model = with_adapter(tiny_model("llama"))
    run = trainer(tmp_path, [LayerwiseCallback("ir", emit=interrupts)], model=model, max_grad_norm=0.7)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert run.args.max_grad_norm == 0.0
    steps = []
    callback = LayerwiseCallback("full", emit=steps.append)
    again = trainer(tmp_path, [callback], model=model)
    assert run.args.max_grad_norm == 0.7
    assert not model._forward_hooks
    again.train()
    assert len({len(layer.parameters) for layer in callback.layers}) == 1
    assert all(step.moved == [0, 1, 2, 3] for step in steps)


def test_arguments_that_an_interrupted_training_left_without_clipping_have_it_again_for_a_new_model(tmp_path):
    def interrupts(step):
        raise KeyboardInterrupt

    first = trainer(tmp_path, [LayerwiseCallback("ir", emit=interrupts)], max_grad_norm=0.7)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert first.args.max_grad_norm == 0.0
    clips = []

    class Watch(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            clips.append(again._clip_to)

    again = LayerwiseCallback("ir")
    Trainer(
        model=with_adapter(tiny_model("llama")), args=first.args, train_dataset=data(), callbacks=[again, Watch()]
    ).train()
    assert set(clips) == {0.7}
    assert first.args.max_grad_norm == 0.7


def test_arguments_in_a_checkpoint_hold_the_clipping_that_was_asked_for(tmp_path):
    trainer(tmp_path, [LayerwiseCallback("ir")], max_grad_norm=0.7, save_strategy="steps", save_steps=2).train()
    kept = torch.load(tmp_path / "checkpoint-2" / "training_args.bin", weights_only=False)
    assert kept.max_grad_norm == 0.7


def test_with_gradients_asked_for_twice_the_backward_pass_still_ends_at_the_lowest_trained_layer(tmp_path):
    """As peft's way of preparing a quantised model and the Trainer both do: transformers forgets the first hooks."""
    model = with_adapter(tiny_model("llama"))
    model.get_base_model().enable_input_require_grads()
    embeddings, seen = model.get_input_embeddings(), []
    callback = LayerwiseCallback(lambda stack: FixedPolicy([3]))
    run = trainer(tmp_path, [callback], model=model, activation_checkpointing=True, max_steps=2)
    assert not run.args.activation_checkpointing_kwargs

    class Watch(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            embeddings.register_forward_hook(lambda module, args, output: seen.append(output.requires_grad))

    run.add_callback(Watch())
    run.train()
    assert seen
    assert not any(seen)


def test_a_model_that_wraps_another_has_its_layers_and_one_without_a_config_is_told_of_in_a_sentence():
    class Wrapped(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

    assert len(find_layers(Wrapped(with_adapter(tiny_model("llama"))))) == 4
    with pytest.raises(ModelError, match="No stack of layers"):
        find_layers(Wrapped(torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(("setting", "says"), [
    ({"deepspeed": "zero.json"}, "Under DeepSpeed and FSDP"),
    ({"fsdp": "full_shard"}, "Under DeepSpeed and FSDP"),
    ({"distributed_state": SimpleNamespace(distributed_type=DistributedType.FSDP)}, "Under DeepSpeed and FSDP"),
    ({"world_size": 2, "ddp_find_unused_parameters": False}, "ddp_find_unused_parameters=True"),
    ({"world_size": 2, "native": True, "activation_checkpointing": True}, "ddp_find_unused_parameters=True"),
    ({"world_size": 2, "native": True, "by_hand": True}, "ddp_find_unused_parameters=True"),
])
def test_where_gradients_cannot_be_measured_it_is_refused_before_anything_is_touched(setting, says):
    model = tiny_model("llama")
    if setting.get("by_hand"):
        model.gradient_checkpointing_enable()
    if not setting.get("native"):
        model = with_adapter(model)
    plain = {
        "n_gpu": 1, "deepspeed": None, "fsdp": None, "distributed_state": None, "world_size": 1, "ddp_find_unused_parameters": None,
        "activation_checkpointing": False, "seed": 1,
    }  # fmt: skip
    with pytest.raises(ModelError, match=says):
        LayerwiseCallback("ir").on_train_begin(SimpleNamespace(**plain | setting), SimpleNamespace(max_steps=5), None, model=model)
    assert not model._forward_hooks


def test_a_model_on_several_devices_is_refused(tmp_path):
    model = with_adapter(tiny_model("llama"))
    model.base_model.model.model.layers[0].to("meta")
    with pytest.raises(ModelError, match="several devices"):
        LayerwiseCallback("ir").on_train_begin(TrainingArguments(str(tmp_path), use_cpu=True), None, None, model=model)


def test_a_clipping_that_was_none_comes_back_as_none(tmp_path):
    run = trainer(tmp_path, [LayerwiseCallback("ir")], max_grad_norm=None)
    run.train()
    assert run.args.max_grad_norm is None


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_that_a_script_switched_on_itself_ends_there_too_or_says_why_not(tmp_path, caplog, reentrant):
    model = tiny_model("llama")
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "v_proj"]))
    reached = set()
    for i, layer in enumerate(model.base_model.model.model.layers):
        layer.register_forward_hook(
            lambda module, args, output, i=i: (
                reached.add(i) if (output[0] if isinstance(output, tuple) else output).requires_grad else None
            )
        )
    trainer(tmp_path, [LayerwiseCallback(lambda stack: FixedPolicy([3]))], model=model, max_steps=2).train()
    assert reached == ({0, 1, 2, 3} if reentrant else {3})
    assert ("use_reentrant=False" in caplog.text) == reentrant


@pytest.mark.parametrize(("given", "says"), [
    ({"unit": "layers"}, "unit must be one of layer, block, module, not 'layers'"),
    ({"importance": "loss"}, "importance must be one of gradient, cosine, weight, not 'loss'"),
])
def test_a_unit_or_an_importance_that_does_not_exist_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        LayerwiseCallback(lambda stack: FixedPolicy([0]), **given)


def test_cosine_says_so_where_the_layers_are_not_heard(tmp_path):
    class Around(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            return model.base_model(**inputs).loss

    run = trainer(tmp_path, [])
    around = Around(model=run.model, args=run.args, train_dataset=data(), callbacks=[LayerwiseCallback("ir", importance="cosine")])
    with pytest.raises(ModelError, match="nothing was heard"):
        around.train()


def test_the_model_can_go_while_the_callback_stays(tmp_path):
    callback = LayerwiseCallback("ir")
    model = with_adapter(tiny_model("llama"))
    held = weakref.ref(model)
    run = trainer(tmp_path, [callback], model=model)
    run.train()
    del model, run
    gc.collect()
    assert held() is None
    callback.release()


def test_a_rate_that_is_a_tensor_is_told(tmp_path):
    steps, model = [], with_adapter(tiny_model("llama"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=torch.tensor(1e-2))
    run = trainer(tmp_path, [], model=model, lr_scheduler_type="constant")
    Trainer(
        model=model, args=run.args, train_dataset=data(), callbacks=[LayerwiseCallback("ir", emit=steps.append)],
        optimizers=(optimizer, None),
    ).train()
    assert [s.learning_rate for s in steps] == pytest.approx([1e-2] * 5)


def test_trying_layers_needs_the_models_own_loss(tmp_path):
    with pytest.raises(ModelError, match="labels"):
        trainer(tmp_path, [LayerwiseCallback("ist")], label_smoothing_factor=0.1).train()


def test_without_the_models_own_loss_tokens_are_counted_all_the_same(tmp_path):
    steps = []
    trainer(tmp_path, [LayerwiseCallback("ir", emit=steps.append)], label_smoothing_factor=0.1).train()
    assert [(s.loss, s.tokens) for s in steps] == [(None, 32)] * 5


def causal(tmp_path, callback, **arguments) -> Trainer:
    torch.manual_seed(0)
    config = AutoConfig.for_model("llama", **FAMILIES["llama"])
    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(task_type="CAUSAL_LM", r=2))
    run = trainer(tmp_path, [callback], model=model, **arguments)
    # Some rows ask for fewer tokens than others.
    run.train_dataset = [
        {**row, "labels": [-100] * (i % 5) + row["input_ids"][i % 5 :]} for i, row in enumerate(data())
    ]
    return run


@pytest.mark.parametrize("times", [1, 4])
def test_the_loss_of_a_language_model_is_the_one_that_the_trainer_logs(tmp_path, times):
    steps = []
    run = causal(
        tmp_path, LayerwiseCallback("full", emit=steps.append), gradient_accumulation_steps=times,
        logging_strategy="steps", logging_steps=1,
    )
    run.train()
    logged = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert [s.loss for s in steps] == pytest.approx(logged, rel=1e-3)


def test_layers_are_tried_on_a_language_model_with_the_same_loss(tmp_path):
    callback = LayerwiseCallback("ist")
    run = causal(tmp_path, callback, gradient_accumulation_steps=2, max_steps=12)
    told = {}

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 10:
                reward = callback.policy.reward
                callback.policy.reward = lambda losses: (told.update(losses=losses), reward(losses))

    run.add_callback(Watch())
    run.train()
    # A random model of 160 tokens: the mean loss of a token is near log 160, whatever is damped.
    assert told["losses"] == pytest.approx([5.08] * 3, abs=0.4)


def test_the_methods_state_travels_with_a_checkpoint_that_is_moved(tmp_path):
    whole, resumed = [], []
    options = {"save_strategy": "steps", "save_steps": 3, "max_steps": 6}
    trainer(tmp_path / "first", [LayerwiseCallback("ir", emit=whole.append)], **options).train()
    shutil.move(tmp_path / "first" / "checkpoint-3", tmp_path / "moved")
    again = trainer(tmp_path / "second", [LayerwiseCallback("ir", emit=resumed.append)], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "moved"))
    assert [s.selected for s in resumed] == [s.selected for s in whole[3:]]
    assert [s.scores for s in resumed] == [s.scores for s in whole[3:]]


def test_a_checkpoint_of_another_method_is_said_to_hold_nothing(tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer(tmp_path / "first", [LayerwiseCallback("ir")], **options).train()
    steps = []
    again = trainer(tmp_path / "second", [LayerwiseCallback("rst", emit=steps.append)], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2"))
    assert "begins anew" in caplog.text
    assert [s.step for s in steps] == [3, 4]


def test_a_checkpoint_of_other_units_is_said_to_hold_nothing(tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer(tmp_path / "first", [LayerwiseCallback("ir")], **options).train()
    callback = LayerwiseCallback("ir", unit="module")
    trainer(tmp_path / "second", [callback], **options).train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2"))
    assert "begins anew" in caplog.text
    assert len(callback.policy.scores) == len(callback.layers) > 4


def test_a_batch_to_try_layers_on_that_was_left_behind_is_missed_aloud(tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer(tmp_path / "first", [LayerwiseCallback("ist")], **options).train()
    trainer(tmp_path / "second", [LayerwiseCallback("ist")], **options).train(
        resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2")
    )
    assert "batch to try layers on is not found" in caplog.text


def test_a_reference_pass_with_adapters_switched_off_thaws_nothing(tmp_path):
    class AgainstReference(Trainer):
        def compute_loss(self, model, inputs, **kwargs):
            with torch.no_grad(), model.disable_adapter():
                reference = model(**inputs).logits
            found = model(**inputs)
            return found.loss + 0.1 * (found.logits - reference).square().mean()

    steps = []
    usual = trainer(tmp_path, [], model=with_adapter(tiny_model("llama")), gradient_accumulation_steps=2)
    AgainstReference(
        model=usual.model, args=usual.args, train_dataset=data(), callbacks=[LayerwiseCallback("rst", emit=steps.append)]
    ).train()
    assert len(find_layers(usual.model)) == 4
    assert all(s.selected == s.moved and len(s.selected) == 1 for s in steps)


def test_a_step_that_was_skipped_for_gradients_too_large_for_float16_measured_nothing(tmp_path, monkeypatch):
    steps = []
    run = trainer(tmp_path, [LayerwiseCallback("ir", emit=steps.append)], max_steps=4)
    monkeypatch.setattr(AcceleratedOptimizer, "step_was_skipped", property(lambda self: run.state.global_step < 2))
    run.train()
    assert [s.scores == [None] * 4 for s in steps] == [True, True, False, False]


@pytest.mark.parametrize("method", ["rst", "lisa", "ir"])
def test_a_method_made_by_its_name_draws_by_the_trainings_seed(method):
    first = {seed: named_policy(method)(replace(Stack.plain(16), seed=seed)).choose().layers for seed in (1, 2, 3, None)}
    assert len(set(first.values())) > 2
    assert named_policy(method)(replace(Stack.plain(16), seed=2)).choose().layers == first[2]
    assert first[None] == make_policy(RunConfig(tuning_method=method).resolve(), Stack.plain(16)).choose().layers
