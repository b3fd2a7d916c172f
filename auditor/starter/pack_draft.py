"""The text that `auditor scenarios new` writes: a pack that runs, with a comment on everything that can be said."""

from __future__ import annotations

__all__ = ["draft_pack"]

_TEXT = """\
# yaml-language-server: $schema=pack.schema.json   (written by `auditor schema pack > pack.schema.json`)
#
# A scenario pack: what your cameras meet, each as a scenario whose severities 1 to 5 are values of a knob with a unit.
#   auditor scenarios check {name}.yaml                                    every scenario, at every severity
#   auditor scenarios preview {name}.yaml --image FRAME.jpg -o sheet.html  how it looks (--model FILE: what is found)
# In audit.yaml:  scenarios: [./{name}.yaml]     The manual: auditor docs authoring
pack: {name}
version: 1            # raise it when you change a value: runs of two versions are not compared
about: What our cameras meet.          # one sentence, shown in the report
source: Values by eye, on our own footage.   # where transforms and values come from, unless a scenario says otherwise

scenarios:
  film_on_lens:
    about: A film of oil or dust on the lens.
    # One list for each knob, of five values, for severities 1 to 5; in between they are interpolated. The first knob is
    # the one that the report speaks of, in `unit`. Choose values that you could measure on site.
    knobs:
      sigma: [0.6, 1.2, 2, 3, 4.5]
      veil: [0.95, 0.9, 0.83, 0.75, 0.65]
    unit: blur sigma, px
    remedy: Clean the lens every shift, or train with GaussianBlur.   # what the report says to do
    # Transforms in their order; $knob is its value. Small letters: one of the auditor's own (auditor docs packs lists
    # them). A capital: an image-only transform of albumentations, whose arguments are its own. It is always applied.
    transforms:
      - GaussianBlur: {{sigma_limit: [$sigma, $sigma], blur_limit: 0}}
      - contrast: {{factor: $veil}}

  # Composed: light first, then optics, then the sensor, then coding, as a camera does it.
  dusk:
    about: Too little light, a gain that shows its noise, and a thin link.
    knobs:
      stops: [-1, -2, -3, -4, -5]
      photons: [400, 200, 100, 50, 25]
      quality: [70, 60, 50, 40, 30]
    unit: exposure, stops
    remedy: Add light, or lower the shutter speed.
    transforms:
      - exposure: {{stops: $stops}}
      - shot_noise: {{photons: $photons}}
      - ImageCompression: {{quality_range: [$quality, $quality], compression_type: jpeg}}

  # Real pictures laid over the image, one drawn for each: PNG files with an alpha channel beside this file. Pictures on
  # black take `mode: lighten`, on white `mode: darken`. With files alone, each knob goes under its own name.
  # dirt:
  #   about: Dirt on the dome, as photographed.
  #   knobs: {{opacity: [0.2, 0.4, 0.6, 0.8, 1]}}
  #   unit: opacity
  #   remedy: Clean the dome.
  #   transforms:
  #     - overlay: dirt/*.png

  # Code: a function beside this file, run only where audit.yaml says `allow_code: true` (here: --allow-code).
  #   def vignette(image, *, severity, rng):   # (H, W, 3) uint8 RGB in and out; draw everything random from rng
  # corners:
  #   about: Corners that the lens leaves dark.
  #   knobs: {{stops: [0.5, 1, 1.5, 2, 3]}}
  #   unit: fall-off in the corners, stops
  #   remedy: Correct the shading in the camera.
  #   transforms:
  #     - function: {name}_code:vignette
"""


def draft_pack(name: str) -> str:
    """The text of a pack of that name."""
    return _TEXT.format(name=name)
