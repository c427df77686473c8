"""How a backbone wants its pictures and its sound, read from the settings that lie beside its weights.

Every image processor of transformers that only scales, crops and normalises can be said in the terms of CLIP's, which
is the one that a model folder keeps. What a file leaves open is as the kind of the encoder has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanoemox.checkpoints.weight_files import WeightsError, read_object
from nanoemox.files.validation import first_wrong
from nanoemox.model.configuration_nanoemox import LARGEST_SIDE_PX

_FILES = ("preprocessor_config.json", "processor_config.json")
_WHOLE_FROM_PX = 384  # ConvNeXt crops no pictures from this side on

Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE_PX)]


class _Form(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, extra="ignore")


class _Size(_Form):
    height: Side | None = None
    width: Side | None = None
    shortest_edge: Side | None = None


class _Pictures(_Form):
    size: _Size | Side | None = None
    crop_size: _Size | Side | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    do_center_crop: bool | None = None
    do_rescale: bool | None = None
    do_normalize: bool | None = None
    rescale_factor: Annotated[float, Field(gt=0, le=1000)] | None = None
    resample: Annotated[int, Field(ge=0, le=5)] | None = None
    image_mean: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    image_std: Annotated[list[Annotated[float, Field(ge=1e-4)]], Field(min_length=3, max_length=3)] | None = (
        None
    )


class _Sound(_Form):
    do_normalize: bool | None = None
    feature_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    n_fft: Annotated[int, Field(ge=160, le=4096)] | None = None
    chunk_length: Annotated[int, Field(ge=2, le=600)] | None = None
    hop_length: Literal[160] | None = None
    sampling_rate: Literal[16_000] | None = None


def picture_settings(place: Path) -> tuple[dict[str, Any], int | None]:
    """What a picture encoder says about its pictures.

    Args:
        place: Its folder.

    Returns:
        Settings of CLIP's image processor, without sizes if the file names none, and the side of the pictures.

    Raises:
        WeightsError: If its file cannot be read, or holds what is no such setting.
    """
    found = _filled(place, _Pictures, "image_processor")
    if found is None:
        return {}, None
    plain = ("do_rescale", "do_normalize", "rescale_factor", "resample", "image_mean", "image_std")
    settings = {name: getattr(found, name) for name in plain if getattr(found, name) is not None}
    scaled, cropped = _side(found.size), _side(found.crop_size)
    if scaled is None:
        return settings, None
    shortest = not isinstance(found.size, _Size) or found.size.shortest_edge is not None
    if found.crop_pct is not None and scaled < _WHOLE_FROM_PX and shortest:  # ConvNeXt
        side, scaled = scaled, int(scaled / found.crop_pct)
    elif found.do_center_crop is False or (found.do_center_crop is None and cropped is None):
        side, shortest = scaled, False
    else:
        side = cropped or scaled
    settings["crop_size"] = {"height": side, "width": side}
    settings["size"] = {"shortest_edge": scaled} if shortest else {"height": scaled, "width": scaled}
    return settings, side


def sound_settings(place: Path, whisper: bool) -> dict[str, Any]:
    """What an audio encoder says about its input, as settings of its feature extractor.

    Args:
        place: Its folder.
        whisper: Whether it reads log-mel.

    Returns:
        The settings.

    Raises:
        WeightsError: If its file cannot be read, or holds what is no such setting.
    """
    found = _filled(place, _Sound, "feature_extractor")
    names = ("feature_size", "n_fft", "chunk_length", "hop_length") if whisper else ("do_normalize",)
    return {name: getattr(found, name) for name in names if getattr(found, name, None) is not None}


def _filled(place: Path, form: type[_Form], part: str) -> Any:
    for name in _FILES:
        if (place / name).is_file():
            fields = read_object(place / name)
            fields = fields[part] if isinstance(fields.get(part), dict) else fields
            try:
                return form.model_validate(fields)
            except ValidationError as error:
                raise WeightsError(f"{place / name}: {first_wrong(error, form)}; copy it again") from error
    return None


def _side(size: _Size | int | None) -> int | None:
    if isinstance(size, _Size):
        return size.shortest_edge or (min(size.height or 0, size.width or 0) or None)
    return size
