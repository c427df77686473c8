"""What the small files of a model folder may hold, key by key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nanoemox.media.clip import SAMPLE_RATE_HZ
from nanoemox.model.configuration_nanoemox import LARGEST_SIDE_PX


class FileForm(BaseModel):
    """Keys that are unknown here do nothing."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


Count = Annotated[int, Field(ge=1, le=1_000_000)]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE_PX)]
Colour = Annotated[float, Field(ge=-1000, le=1000)]
Spread = Annotated[float, Field(ge=1e-4, le=1000)]
Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=1_000_000)]


class SquareForm(FileForm):
    height: Side
    width: Side


class SizeForm(FileForm):
    shortest_edge: Side


class ImagesForm(FileForm):
    """What CLIP's image processor reads; frames have to come out in one size."""

    size: SizeForm | SquareForm
    crop_size: SquareForm
    image_mean: list[Colour] = Field(min_length=3, max_length=3)
    image_std: list[Spread] = Field(min_length=3, max_length=3)
    rescale_factor: Annotated[float, Field(gt=0, le=1000)]
    resample: Annotated[int, Field(ge=0, le=5)]
    do_resize: Literal[True]
    do_center_crop: Literal[True]
    do_rescale: bool
    do_normalize: bool
    do_convert_rgb: bool = True


class AudioForm(FileForm):
    sampling_rate: Literal[SAMPLE_RATE_HZ]  # type: ignore[valid-type]
    feature_size: Literal[1]
    padding_value: float = 0.0
    do_normalize: bool
    return_attention_mask: bool = False


class ProcessorForm(FileForm):
    """processor_config.json."""

    image_processor: ImagesForm
    face_image_processor: ImagesForm
    feature_extractor: AudioForm
    placeholder_counts: dict[str, int]
    end_of_turn: Annotated[str, Field(min_length=1, max_length=100)]
    compat: Literal["official"] | None = None


class GenerationForm(FileForm):
    """generation_config.json, as far as it can do harm."""

    eos_token_id: Annotated[int, Field(ge=0)] | Ids | None = None
    pad_token_id: Annotated[int, Field(ge=0)] | None = None
    bos_token_id: Annotated[int, Field(ge=0)] | None = None
    suppress_tokens: Ids | None = None
    begin_suppress_tokens: Ids | None = None
    max_new_tokens: Count | None = None
    max_length: Count | None = None
    min_length: Annotated[int, Field(ge=0)] | None = None
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=1000)] | None = None
    num_return_sequences: Annotated[int, Field(ge=1, le=1000)] | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    do_sample: bool | None = None
    use_cache: bool | None = None


class SpecialTokenForm(FileForm):
    content: Annotated[str, Field(min_length=1, max_length=1000)]


Token = Annotated[str, Field(min_length=1, max_length=1000)] | SpecialTokenForm


class TokenizerSettingsForm(FileForm):
    """tokenizer_config.json."""

    tokenizer_class: str | None = None
    model_max_length: Annotated[float, Field(ge=1)] | None = None
    padding_side: Literal["left", "right"] = "left"
    truncation_side: Literal["left", "right"] = "right"
    bos_token: Token | None = None
    eos_token: Token
    pad_token: Token
    unk_token: Token | None = None
    extra_special_tokens: list[Token] | dict[str, Token] | None = None
    additional_special_tokens: list[Token] | None = None
    added_tokens_decoder: dict[str, SpecialTokenForm] | None = None


class VocabularyForm(FileForm):
    type: Literal["BPE"]
    vocab: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(min_length=1)]
    merges: list[Any]
    dropout: Literal[0] | None = None  # with it, a text would be another one each time


class AddedTokenForm(SpecialTokenForm):
    id: Annotated[int, Field(ge=0)]


class TokenizerForm(FileForm):
    """tokenizer.json; what is left is checked by the library that reads it."""

    model: VocabularyForm
    added_tokens: list[AddedTokenForm]
