"""The published checkpoints that deixis knows: what they are, and how each is made usable.

Sizes are those of the weights that are fetched. Nothing here imports torch.
"""

from dataclasses import dataclass

READY = ("pixellm", "prima", "unipixel")  # families with a recipe
UNKNOWN = "not stated where we could read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint on the Hugging Face hub.

    Attributes:
        repository: of the weights; tower: of a vision tower that is published apart.
        billions: of parameters, without the tower.
        gigabytes: to fetch, with the tower.
        licence: of the weights, as their card says; of code or bases where it says nothing.
    """

    name: str
    family: str
    repository: str
    billions: float
    gigabytes: float
    licence: str
    origin: str
    tower: str = ""

    @property
    def command(self) -> str:
        """The one command that makes it usable, or why there is none yet."""
        if self.family not in READY:
            return "not convertible yet"
        words = f"deixis convert {self.repository} {self.name} --family {self.family}"
        return f"{words} --vision-tower {self.tower}" if self.tower else words


CLIP = "openai/clip-vit-large-patch14-336"
CLIP_GIGABYTES = 1.71
PUBLISHED = (
    Published(
        name="PixelLM-7B",
        family="pixellm",
        repository="maverickrzw/PixelLM-7B",
        billions=6.85,
        gigabytes=13.76 + CLIP_GIGABYTES,
        licence="Apache-2.0; base LLaMA",
        origin="CVPR 2024, arXiv:2312.02228",
        tower=CLIP,
    ),
    Published(
        name="PixelLM-13B",
        family="pixellm",
        repository="maverickrzw/PixelLM-13B",
        billions=13.18,
        gigabytes=26.43 + CLIP_GIGABYTES,
        licence=f"{UNKNOWN}; code Apache-2.0; base LLaMA 2",
        origin="CVPR 2024, arXiv:2312.02228",
        tower=CLIP,
    ),
    Published(
        name="UniPixel-3B",
        family="unipixel",
        repository="PolyU-ChenLab/UniPixel-3B",
        billions=3.88,
        gigabytes=7.76,
        licence=f"{UNKNOWN}; code BSD-3-Clause; bases Qwen2.5-VL, SAM 2.1",
        origin="NeurIPS 2025, arXiv:2509.18094",
    ),
    Published(
        name="UniPixel-7B",
        family="unipixel",
        repository="PolyU-ChenLab/UniPixel-7B",
        billions=8.44,
        gigabytes=16.88,
        licence=f"{UNKNOWN}; code BSD-3-Clause; bases Qwen2.5-VL, SAM 2.1",
        origin="NeurIPS 2025, arXiv:2509.18094",
    ),
    Published(
        name="PRIMA",
        family="prima",
        repository="kanguyen-vn/PRIMA",
        billions=8.6,
        gigabytes=17.0,
        licence=f"{UNKNOWN}; bases LLaMA, InstructBLIP, SAM, GLaMM",
        origin="arXiv:2412.15209",
    ),
)
