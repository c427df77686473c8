"""The whole model at toy size: merging, generating, saving, freezing."""

from __future__ import annotations

import peft
import pytest
import torch
from transformers import AutoModelForMultimodalLM, AutoProcessor

from nanoemox.model.configuration_nanoemox import PARTS, NanoEmoXConfig
from nanoemox.model.encoders import FEATURE_NAMES
from nanoemox.model.modeling_nanoemox import MEDIA_NAMES, NanoEmoXForConditionalGeneration
from nanoemox.model.parts import ADAPTERS, LORA_TARGETS, PHASES, parameter_report, part_of, trainable_parts
from tests.tiny import ROWS, make_batch, tiny_config

ANSWERS = ["The most likely label is anger.", "happy", "negative", "Why"]


def lora(model, **changes):
    config = peft.LoraConfig(r=4, target_modules=LORA_TARGETS, **changes)
    return peft.get_peft_model(model, config)


def test_batch_equals_single(model, processor, batch):
    with torch.no_grad():
        together = model(**batch).logits
        for index, row in enumerate(ROWS):
            alone = make_batch(processor, [row], seed=index)
            prompt = batch["input_ids"][index][batch["attention_mask"][index].bool()]
            media = {name: batch[name][index : index + 1] for name in MEDIA_NAMES if name in alone}
            single = model(input_ids=prompt[None], **media).logits
            torch.testing.assert_close(together[index, -single.shape[1] :], single[0], atol=1e-4, rtol=1e-4)


def test_features_stand_for_media(model, batch):
    text = {name: batch[name] for name in ("input_ids", "attention_mask")}
    features = model.encode(**{name: batch[name] for name in MEDIA_NAMES})
    assert set(features) == set(FEATURE_NAMES)
    with torch.no_grad():
        torch.testing.assert_close(model(**text, **features).logits, model(**batch).logits)


def test_absent_modalities_are_missing_from_the_features(model, batch):
    assert set(model.encode(input_values=batch["input_values"])) == {
        "audio_features",
        "audio_fusion_features",
    }


def test_rows_without_a_modality_ignore_what_lies_there(model, batch):
    """The zeros of a mixed batch, or anything else in their place, change nothing."""
    other = {name: tensor.clone() for name, tensor in batch.items()}
    other["input_values"][[2, 3]] = torch.randn_like(other["input_values"][[2, 3]])
    other["pixel_values_videos"][[1, 3]] = 5
    other["face_pixel_values"][[1, 3]] = -5
    with torch.no_grad():
        torch.testing.assert_close(model(**other).logits, model(**batch).logits)


def test_gate_is_there_for_rows_with_sound_and_video(model, batch):
    gate = model(**batch).gate
    assert gate.shape == (4, 3)
    torch.testing.assert_close(gate.sum(dim=1), torch.tensor([1.0, 0, 0, 0]))
    words = {name: batch[name][3:] for name in ("input_ids", "attention_mask")}
    assert model(**words).gate is None


def test_placeholder_mismatch_tells_both_numbers(model, batch):
    kept = batch["input_ids"][:1] != model.config.face_token_id
    one_short = torch.cat([batch["input_ids"][:1][kept], torch.tensor([model.config.face_token_id])])[None]
    media = {name: batch[name][:1] for name in MEDIA_NAMES}
    with pytest.raises(ValueError, match=r"face: row 0 of input_ids has 1 placeholders.*make 2 tokens"):
        model(input_ids=one_short, **media)


def test_placeholders_without_media_are_refused(model, batch):
    words = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with pytest.raises(ValueError, match=r"fusion: row 0 of input_ids has 1 placeholders.*make 0 tokens"):
        model(**words, pixel_values_videos=batch["pixel_values_videos"])
    with pytest.raises(ValueError, match=r"face: row 1 of input_ids has 2 placeholders.*make 0 tokens"):
        model(input_ids=words["input_ids"][1:], input_values=batch["input_values"][1:])


def test_a_model_without_a_face_branch_has_no_face_features():
    model = NanoEmoXForConditionalGeneration(tiny_config(face_tokens=0)).eval()
    assert model.face_encoder is None and model.face_adapter is None
    assert {"face_encoder", "face_adapter"}.isdisjoint(model.parts())
    faces = torch.zeros(1, 4, 3, 24, 24)
    assert model.encode(face_pixel_values=faces) == {}
    with pytest.raises(ValueError, match=r"no face branch \(face_tokens is 0\)"):
        model.get_face_features(torch.zeros(1, 4, 8))


def test_loss_is_on_the_answer_only(model, processor):
    """Mean over the answers' tokens and their end, each judged by the position before it; nothing else counts."""
    batch = make_batch(processor, answers=ANSWERS)
    prompts = make_batch(processor)  # the same rows without answers, padded on the left
    with torch.no_grad():
        output = model(**batch)
    tokenizer, costs = processor.tokenizer, []
    for row, answer in enumerate(ANSWERS):
        ids = tokenizer(answer + processor.end_of_turn, add_special_tokens=False)["input_ids"]
        begin = int(prompts["attention_mask"][row].sum())  # in `batch` the padding is on the right
        assert batch["input_ids"][row, begin : begin + len(ids)].tolist() == ids
        for place, token in enumerate(ids, start=begin):
            scores = output.logits[row, place - 1]
            costs.append(scores.exp().sum().log() - scores[token])
    torch.testing.assert_close(output.loss, torch.stack(costs).mean(), atol=1e-5, rtol=1e-5)


def test_cache_equals_no_cache(model, batch):
    with_cache = model.generate(**batch, max_new_tokens=12, do_sample=False)
    without = model.generate(**batch, max_new_tokens=12, do_sample=False, use_cache=False)
    assert torch.equal(with_cache, without)


def test_shared_prefix_equals_whole_prompt(model, batch):
    """The part before the question can be computed once and kept in the cache."""
    row = {name: tensor[:1] for name, tensor in batch.items()}
    with torch.no_grad():
        whole = model(**row).logits[:, -6:]
        prefix, question = row["input_ids"][:, :-6], row["input_ids"][:, -6:]
        media = {name: row[name] for name in MEDIA_NAMES}
        cache = model(input_ids=prefix, use_cache=True, **media).past_key_values
        torch.testing.assert_close(
            model(input_ids=question, past_key_values=cache).logits, whole, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("as_features", [False, True])
def test_generate_sends_media_at_the_first_step_only(model, batch, as_features):
    if as_features:
        media = {name: batch.pop(name) for name in MEDIA_NAMES}
        batch |= model.encode(**media)
    seen = []

    def watch(module, args, kwargs):
        seen.append([name for name in (*MEDIA_NAMES, *FEATURE_NAMES) if kwargs.get(name) is not None])

    model.register_forward_pre_hook(watch, with_kwargs=True)
    model.generate(**batch, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert seen == [list(FEATURE_NAMES if as_features else MEDIA_NAMES), [], [], []]


def test_placeholders_are_never_generated(model, batch):
    ids = torch.tensor(list(model.config.placeholder_ids.values()))
    with torch.no_grad():  # make one of them the likeliest next token
        last = model(**batch, output_hidden_states=True).hidden_states[-1][0, -1]
        model.get_output_embeddings().weight[ids[0]] = 10 * last
        assert model(**batch).logits[0, -1].argmax() == ids[0]
    new = model.generate(**batch, max_new_tokens=6, do_sample=False)[:, batch["input_ids"].shape[1] :]
    assert not torch.isin(new, ids).any()


def test_save_and_load_through_auto_classes(model, processor, batch, tmp_path):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, info = AutoModelForMultimodalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(loaded, NanoEmoXForConditionalGeneration)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
    tied = loaded.get_output_embeddings().weight
    assert tied is loaded.get_input_embeddings().weight
    assert not any("lm_head" in name for name, _ in loaded.named_parameters())
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert torch.equal(make_batch(again)["input_ids"], batch["input_ids"])


def test_loads_in_bfloat16(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    half = NanoEmoXForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        assert half(**batch).logits.isfinite().all()


def test_lora_reloads_with_the_parts_saved_beside_it(model, batch, tmp_path):
    model.save_pretrained(tmp_path / "base")
    wrapped = lora(model, modules_to_save=[*ADAPTERS, "fusion"])
    trainable_parts(wrapped, PHASES["3"])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        expected = wrapped.eval()(**batch).logits
    wrapped.save_pretrained(tmp_path / "adapter")
    base = NanoEmoXForConditionalGeneration.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        assert (base.eval()(**batch).logits - expected).abs().max() > 1e-2
        again = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        torch.testing.assert_close(again(**batch).logits, expected, atol=1e-4, rtol=1e-4)
        merged = again.merge_and_unload()
        torch.testing.assert_close(merged(**batch).logits, expected, atol=1e-4, rtol=1e-4)


def test_lora_is_on_the_language_model_only(model):
    names = [name for name, _ in lora(model).named_parameters() if ".lora_" in name]
    layers, projections = model.config.text_config.num_hidden_layers, 7
    assert len(names) == 2 * layers * projections
    assert all("language_model" in name for name in names)


@pytest.mark.parametrize("phase", PHASES)
def test_gradients_reach_exactly_the_parts_of_the_phase(model, processor, phase):
    if "lora" in PHASES[phase]:
        model = lora(model)
    counts = trainable_parts(model, PHASES[phase])
    assert set(counts) == set(PHASES[phase])
    model.train()
    model(**make_batch(processor, answers=ANSWERS)).loss.backward()
    reached, expected = set(), set()
    for name, parameter in model.named_parameters():
        if part_of(name) in PHASES[phase]:
            expected.add(name)
        # The bias of attention keys cancels in the softmax, and lora_A starts behind a zero lora_B.
        if parameter.grad is not None:
            reached.add(name)
            assert parameter.grad.isfinite().all()
            if not name.endswith(("key.bias", "lora_A.default.weight")):
                assert parameter.grad.abs().max() > 0, name
    assert reached == expected


def test_audio_phase_works_without_any_video(model, processor):
    trainable_parts(model, PHASES["1a"])
    batch = make_batch(processor, [{"audio"}, {"audio"}], answers=ANSWERS[:2])
    model(**batch).loss.backward()
    assert {part_of(name) for name, p in model.named_parameters() if p.grad is not None} == {"audio_adapter"}


def test_unknown_part_names_the_known_ones(model):
    with pytest.raises(ValueError, match=r"unknown part gate.*audio_adapter.*lora"):
        trainable_parts(model, ["gate"])
    with pytest.raises(ValueError, match="wrap it with peft"):
        trainable_parts(model, ["lora"])


def test_encoders_stay_in_evaluation_mode(model, batch):
    model.train()
    assert model.fusion.training and model.language_model.training
    for part in ("vision_encoder", "audio_encoder", "face_encoder"):
        assert not any(module.training for module in model.parts()[part].modules())
    pixels, sound = batch["pixel_values_videos"], batch["input_values"]
    for first, second in zip(
        model.encode(pixels, pixels, sound).values(),
        model.encode(pixels, pixels, sound).values(),
        strict=True,
    ):
        assert torch.equal(first, second)


def test_report_counts_every_parameter_once(model):
    report = parameter_report(model)
    parts = report["parameters"]["parts"]
    assert set(parts) == {*PARTS, "lora"}
    assert report["parameters"]["total"] == sum(p.numel() for p in model.parameters()) + parts["lora"]
    wrapped = peft.get_peft_model(
        model, peft.LoraConfig(r=16, target_modules=LORA_TARGETS, modules_to_save=[*ADAPTERS, "fusion"])
    )
    assert parameter_report(wrapped) == report
    assert sum(trainable_parts(wrapped, PHASES["3"]).values()) == report["trainable"]["3"]


def test_pico_is_small():
    report = parameter_report(NanoEmoXConfig.preset("pico"))
    assert report["parameters"]["total"] <= 12_000_000


def test_report_of_a_configuration_needs_no_model():
    assert parameter_report(tiny_config()) == parameter_report(
        NanoEmoXForConditionalGeneration(tiny_config())
    )


def test_attention_is_torchs_fast_one_where_nothing_else_is_said(model):
    assert model.config._attn_implementation == model.language_model.config._attn_implementation == "sdpa"
