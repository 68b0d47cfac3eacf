"""PNG images as arrays."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

__all__ = ["decode_png"]

_END = b"\0\0\0\0IEND\xaeB`\x82"


def decode_png(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The image as uint8: ``shape`` is ``(H, W)`` of a grey one or ``(3, H, W)`` of a coloured one.

    Raises ValueError for bytes that are no PNG image, or one of another size or with other colours.
    """
    from PIL import Image

    mode = "L" if len(shape) == 2 else "RGB"
    if not data.endswith(_END):
        # Pillow takes what there is of an image whose last rows are there.
        raise ValueError(f"{len(data):,} bytes that are no whole PNG image (they do not end as one)")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            # Looked at before it is unpacked: a small file may claim to be a huge image.
            if image.size != shape[:-3:-1] or image.mode != mode:
                raise ValueError(
                    f"is a PNG image of {image.size[0]}×{image.size[1]} pixels with mode {image.mode}; "
                    f"{shape[-1]}×{shape[-2]} with mode {mode} is needed"
                )
            pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{len(data):,} bytes that are no whole PNG image ({error})") from error
    return pixels if len(shape) == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
