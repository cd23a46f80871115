"""What papers have published, as the specification of the benchmarks gathered it, in percent.

Only VideoRefer-Bench-D's figures are of 5.

None of it was measured here. The last column says where a number was read: U is UniPixel's README
(U' an earlier text of it), U2 a summary of its paper, S1 Sa2VA's paper, S2 and S3 model cards of
Sa2VA and Sa2VA-i, V VisionReasoner's paper, RV ReVSeg's, R1 a summary of SAM-R1, H of HiMTok, T of
SAMTok, F of FCLM, X of X2SAM, VI of VIRST, VL VideoLISA's paper, G GroundMoRe's, VR VideoRefer's
README, A notes on SAM 3, B a summary of Vision Banana, Z a listing, P the page of PRIMA's project,
SP a summary of SPOT, M recalled and read nowhere.
Summaries are second hand: check the paper before a number becomes a target.
"""

from collections.abc import Mapping
from dataclasses import dataclass

M4SEG = "miou recall i_ss i_siou ss siou meteor"  # the columns of its table
# data set | splits | figures | system | values, by split or by figure | read in
TABLE = """
refcoco | val testA testB | ciou | PixelLM-7B | 73.0 76.5 68.2 | S1 V Z
refcoco | val testA | ciou | LISA-7B | 74.1 76.5 | S1 V
refcoco | val | ciou | LISA-7B, tuned | 74.9 | S1 V H
refcoco | val testA testB | ciou | GLaMM-7B | 79.5 83.2 76.9 | S1 U2
refcoco | val | ciou | Sa2VA-8B (InternVL2) | 81.6 | S1
refcoco | val | ciou | Sa2VA-8B (InternVL2.5) | 82.6 | S2
refcoco | val | ciou | Sa2VA-26B | 82.5 | S1
refcoco | val | ciou | Sa2VA-26B | 82.9 | S2
refcoco | val testA testB | ciou | UniPixel-3B | 80.5 82.6 76.9 | U
refcoco | val testA testB | ciou | UniPixel-7B | 80.8 83.0 77.4 | U
refcoco | val testA testB | ciou | UniPixel-7B, earlier text | 82.5 83.8 79.8 | U'
refcoco | val testA testB | ciou | UniPixel-7B, tuned | 83.0 84.9 80.4 | U2
refcoco | testA | ciou | Seg-Zero-7B | 80.3 | V
refcoco | testA | ciou | VisionReasoner-7B | 78.9 | V
refcoco | val | ciou | HiMTok-8B, tuned | 85.0 | H
refcoco | val | ciou | HiMTok-8B, tuned, and SAM | 85.9 | H
refcoco | val | ciou | SAM-R1, split not named | 79.2 | R1
refcoco | val | ciou | X-SAM | 85.1 | X
refcoco | val | ciou | X2SAM | 84.0 | X
refcoco | val testA testB | box_accuracy | UniPixel-7B | 92.0 94.4 88.1 | U2
refcoco+ | val testA testB | ciou | PixelLM-7B | 66.3 71.7 58.3 | S1 V Z
refcoco+ | val testA | ciou | LISA-7B | 62.4 67.4 | S1 V
refcoco+ | val | ciou | LISA-7B, tuned | 65.1 | S1 V H
refcoco+ | val | ciou | GLaMM-7B | 72.6 | S1 U2
refcoco+ | val | ciou | Sa2VA-8B (InternVL2) | 76.2 | S1
refcoco+ | val | ciou | Sa2VA-8B (InternVL2.5) | 78.0 | S2
refcoco+ | val | ciou | Sa2VA-26B | 78.8 | S1
refcoco+ | val | ciou | Sa2VA-26B | 79.3 | S2
refcoco+ | val testA testB | ciou | UniPixel-3B | 74.3 78.9 68.4 | U
refcoco+ | val testA testB | ciou | UniPixel-7B | 75.3 80.1 70.0 | U
refcoco+ | val testA testB | ciou | UniPixel-7B, earlier text | 76.5 81.0 70.9 | U'
refcoco+ | testA | ciou | Seg-Zero-7B | 76.2 | V
refcoco+ | testA | ciou | VisionReasoner-7B | 74.9 | V
refcoco+ | val | ciou | HiMTok-8B, tuned | 79.7 | H
refcoco+ | val | ciou | HiMTok-8B, tuned, and SAM | 80.5 | H
refcoco+ | val | ciou | SAM-R1, split not named | 74.7 | R1
refcoco+ | val | ciou | X-SAM | 78.0 | X
refcoco+ | val | ciou | X2SAM | 78.4 | X
refcocog | val test | ciou | PixelLM-7B | 69.3 70.5 | S1 V Z
refcocog | val test | ciou | LISA-7B | 66.4 68.5 | S1 V
refcocog | val | ciou | LISA-7B, tuned | 67.9 | S1 V H
refcocog | val | ciou | GLaMM-7B | 74.2 | S1 U2
refcocog | val | ciou | Sa2VA-8B (InternVL2) | 78.7 | S1
refcocog | val | ciou | Sa2VA-8B (InternVL2.5) | 80.3 | S2
refcocog | val | ciou | Sa2VA-26B | 79.7 | S1
refcocog | val | ciou | Sa2VA-26B | 81.2 | S2
refcocog | val test | ciou | UniPixel-3B | 76.3 77.0 | U
refcocog | val test | ciou | UniPixel-7B | 76.4 77.1 | U
refcocog | val test | ciou | UniPixel-7B, earlier text | 77.5 78.4 | U'
refcocog | test | ciou | Seg-Zero-7B | 72.6 | V
refcocog | test | ciou | VisionReasoner-7B | 71.3 | V
refcocog | val | ciou | HiMTok-8B, tuned | 80.0 | H
refcocog | val | ciou | X2SAM | 81.9 | X
refcocog | val | ciou | X-SAM | 83.8 | X
refcocog | val | ciou | HiMTok-8B, tuned, and SAM | 80.1 | H
refcocog | val | ciou | SAM-R1, split not named | 73.1 | R1
refcocog | val | ciou | SAM 3 Agent, split not named | 73.4 | B
refcocog | val | ciou | Vision Banana, split not named | 73.8 | B
reason_seg | val test | giou | LISA-7B | 44.4 36.8 | V
reason_seg | val test | giou ciou | LISA-7B, later | 53.6 52.3 48.7 48.8 | R1
reason_seg | val test | giou ciou | LISA-13B, later | 57.7 60.3 53.8 50.8 | R1
reason_seg | val | giou ciou | UniPixel-3B | 64.0 56.2 | U
reason_seg | val | giou ciou | UniPixel-7B | 60.5 58.7 | U
reason_seg | val | giou ciou | UniPixel-7B, earlier text | 65.3 58.0 | U'
reason_seg | val test | giou | Qwen2.5-VL-7B + SAM2 | 56.9 52.1 | V
reason_seg | val test | giou ciou | Qwen2.5-VL-7B + SAM2 | 59.5 54.0 55.9 44.3 | RV
reason_seg | val test | giou | Seg-Zero-7B | 62.6 57.5 | V
reason_seg | val test | giou ciou | SAM-R1 | 64.0 55.8 60.2 54.3 | R1
reason_seg | val test | giou ciou | ReVSeg-7B | 63.7 59.9 59.7 47.4 | RV
reason_seg | val test | giou | VisionReasoner-7B | 66.3 63.6 | V
reason_seg | val test | giou | SAM 3 Agent | 76.0 73.8 | A
reason_seg | val | giou | Vision Banana, split not named | 79.3 | B
muse | val | giou ciou | PixelLM-7B | 42.6 50.7 | M
grefcoco | val | giou ciou n_acc | LISA-7B, mean of three splits | 62.2 63.6 52.2 | T
grefcoco | val | giou ciou n_acc | MLLMSeg-8B, mean of three splits | 73.9 72.3 70.4 | T
grefcoco | val | giou ciou | ARGenSeg-8B, mean of three splits | 73.6 72.1 | T
grefcoco | val | giou ciou n_acc | SAMTok-3B, mean of three splits | 76.7 73.7 77.1 | T
grandf | val | CIDEr ap50 miou recall | GLaMM | 47.2 30.8 66.3 41.8 | F T
grandf | val | METEOR | GLaMM | 16.2 | M
grandf | val | ap50 miou recall | Sa2VA-8B | 33.2 67.7 45.1 | T
grandf | val | ap50 | Sa2VA-8B | 31.0 | S1
grandf | val | ap50 | Sa2VA-26B | 33.5 | S1
grandf | val | CIDEr miou | FCLM-3B | 56.2 67.6 | F
grandf | val | ap50 miou recall | SAMTok-3B | 41.5 73.5 53.5 | T
mevis | valid | jf | LISA-7B | 37.2 | RV
mevis | valid | jf | LISA-13B | 37.9 | RV
mevis | valid | jf | VISA-13B | 44.5 | RV
mevis | valid | jf | Sa2VA-8B | 51.5 | S3
mevis | valid | jf | Sa2VA-8B, split not named | 57.0 | S1
mevis | valid | jf | Sa2VA-26B, split not named | 57.3 | S1
mevis | valid | jf | Sa2VA-i-8B | 59.5 | S3
mevis | valid | jf | UniPixel-3B | 53.1 | U
mevis | valid | jf | UniPixel-7B | 55.8 | U
mevis | valid | jf | UniPixel-7B, earlier text | 54.7 | U'
mevis | valid | jf | GLUS | 51.3 | RV
mevis | valid | jf | VRS-HQ-7B | 50.6 | RV
mevis | valid | jf | ReVSeg-7B | 59.8 | RV
mevis | valid | jf | VIRST | 62.9 | VI
mevis | valid_u | jf | Sa2VA-8B | 58.9 | S2
mevis | valid_u | jf | Sa2VA-26B | 61.8 | S2
ref_youtube_vos | valid | jf | LISA-7B | 53.9 | RV
ref_youtube_vos | valid | jf | LISA-7B | 50.2 | VL
ref_youtube_vos | valid | jf | LISA-13B | 54.5 | RV
ref_youtube_vos | valid | jf | LISA-13B | 52.6 | VL
ref_youtube_vos | valid | jf | PixelLM-7B | 52.9 | VL
ref_youtube_vos | valid | jf | VISA-13B | 63.0 | RV
ref_youtube_vos | valid | jf | Sa2VA-8B | 72.3 | S3
ref_youtube_vos | valid | jf | Sa2VA-i-8B | 73.9 | S3
ref_youtube_vos | valid | jf | UniPixel-3B | 70.5 | U
ref_youtube_vos | valid | jf | UniPixel-7B | 71.0 | U
ref_youtube_vos | valid | jf | UniPixel-7B, earlier text | 72.1 | U'
ref_youtube_vos | valid | jf | GLUS | 67.3 | RV
ref_youtube_vos | valid | jf | VRS-HQ-7B | 70.4 | RV
ref_youtube_vos | valid | jf | ReVSeg-7B | 73.1 | RV
ref_youtube_vos | valid | jf | X2SAM | 78.5 | X
ref_davis17 | valid | jf | LISA-7B | 64.8 | RV
ref_davis17 | valid | jf | LISA-7B | 58.4 | VL
ref_davis17 | valid | jf | LISA-13B | 66.9 | RV
ref_davis17 | valid | jf | LISA-13B | 60.7 | VL
ref_davis17 | valid | jf | PixelLM-7B | 56.6 | VL
ref_davis17 | valid | jf | VISA-13B | 70.4 | RV
ref_davis17 | valid | jf | Sa2VA-8B | 75.2 | S1
ref_davis17 | valid | jf | Sa2VA-8B | 75.9 | S2
ref_davis17 | valid | jf | Sa2VA-26B | 77.0 | S1
ref_davis17 | valid | jf | Sa2VA-26B | 78.6 | S2
ref_davis17 | valid | jf | UniPixel-3B | 74.2 | U
ref_davis17 | valid | jf | UniPixel-7B | 76.4 | U
ref_davis17 | valid | jf | UniPixel-7B, earlier text | 75.7 | U'
ref_davis17 | valid | jf | VRS-HQ-7B | 76.0 | RV
ref_davis17 | valid | jf | ReVSeg-7B | 80.8 | RV
ref_davis17 | valid | jf | VIRST | 79.5 | VI
ref_davis17 | valid | jf | X2SAM | 79.0 | X
revos | valid | overall/jf referring/jf reasoning/jf | LISA-7B | 40.9 45.7 36.1 | RV
revos | valid | overall/jf referring/jf reasoning/jf | LISA-13B | 41.6 46.6 36.7 | RV
revos | valid | overall/r | VISA-7B | 15.3 | SP
revos | valid | overall/r | VISA-13B | 15.1 | SP
revos | valid | overall/r | SPOT-13B | 18.0 | SP
revos | valid | overall/jf referring/jf reasoning/jf | VISA-13B | 50.9 57.4 44.3 | RV
revos | valid | overall/jf | Sa2VA-8B | 57.6 | S1
revos | valid | overall/jf | Sa2VA-26B | 58.4 | S1
revos | valid | overall/jf reasoning/jf | UniPixel-3B | 62.1 59.6 | U U2
revos | valid | overall/jf | UniPixel-7B | 63.7 | U
revos | valid | overall/jf | UniPixel-7B, earlier text | 64.0 | U'
revos | valid | overall/jf | GLUS | 54.9 | U2
revos | valid | overall/jf referring/jf reasoning/jf | VRS-HQ-7B | 59.1 62.1 56.1 | RV
revos | valid | overall/jf referring/jf reasoning/jf | ReVSeg-7B | 62.1 65.7 58.6 | RV
revos | valid | referring/jf reasoning/jf | VIRST | 70.8 66.1 | VI
revos | valid | overall/jf | X2SAM | 69.9 | X
ref_sav | valid | jf | VISA | 11.8 | S1
ref_sav | valid | jf | Sa2VA-8B, zero-shot | 41.3 | S1
ref_sav | valid | jf | Sa2VA-8B, tuned | 50.0 | S1
ref_sav | valid | jf | UniPixel-3B | 67.2 | U
ref_sav | valid | jf | UniPixel-7B | 69.0 | U
ref_sav | valid | jf | UniPixel-7B, earlier text | 72.8 | U'
groundmore | test_v2 | jf | LISA-7B | 6.11 | G
groundmore | test_v2 | jf | LISA-13B | 6.47 | G
groundmore | test_v2 | jf | VISA | 5.31 | G
groundmore | test_v2 | jf | PixelLM-7B | 9.96 | G
groundmore | test_v2 | jf | PixelLM-13B | 11.54 | G
groundmore | test_v2 | jf | MoRA, zero-shot | 23.13 | G
groundmore | test_v2 | jf | MoRA, tuned | 27.15 | G
groundmore | test_v2 | jf | UniPixel-3B | 37.4 | U
groundmore | test_v2 | jf | UniPixel-7B | 37.8 | U
groundmore | test_v2 | jf | UniPixel-7B, earlier text | 47.6 | U'
videorefer-q | all | accuracy | GPT-4o | 71.3 | VR
videorefer-q | all | accuracy | VideoRefer-7B | 71.9 | VR
videorefer-q | all | accuracy | VideoRefer-VideoLLaMA3-7B | 80.1 | VR
videorefer-q | all | accuracy | UniPixel-3B, one frame | 72.2 | U
videorefer-q | all | accuracy | UniPixel-3B, several frames | 72.8 | U
videorefer-q | all | accuracy | UniPixel-7B, one frame | 73.4 | U
videorefer-q | all | accuracy | UniPixel-7B, several frames | 74.1 | U
videorefer-q | all | accuracy | UniPixel-7B, one frame, earlier text | 73.8 | U'
videorefer-q | all | accuracy | UniPixel-7B, several frames, earlier text | 76.3 | U'
videorefer-d | all | All | GPT-4o, one frame | 2.95 | VR
videorefer-d | all | All | GPT-4o, several frames | 3.25 | VR
videorefer-d | all | All | VideoRefer-7B, one frame | 3.42 | VR
videorefer-d | all | All | VideoRefer-7B, several frames | 3.46 | VR
videorefer-d | all | All | VideoRefer-VideoLLaMA3-7B, one frame | 3.72 | VR
videorefer-d | all | All | UniPixel-3B, one frame | 3.42 | U
videorefer-d | all | All | UniPixel-3B, several frames | 3.44 | U
videorefer-d | all | All | UniPixel-7B, one frame | 3.37 | U
videorefer-d | all | All | UniPixel-7B, several frames | 3.36 | U
videorefer-d | all | All | UniPixel-7B, one frame, earlier text | 3.47 | U'
videorefer-d | all | All | UniPixel-7B, several frames, earlier text | 3.48 | U'
pixelqa-point | all | jf accuracy | UniPixel-3B | 57.2 70.8 | U
pixelqa-point | all | jf accuracy | UniPixel-7B | 42.3 71.4 | U
pixelqa-point | all | accuracy | Qwen2-VL-72B, marks in the picture | 69.0 | U2
pixelqa-point | all | accuracy | InternVL2-26B, marks in the picture | 60.9 | U2
mvbench | all | accuracy | UniPixel-3B | 62.5 | U
mvbench | all | accuracy | UniPixel-7B | 64.3 | U
video_mme | all | accuracy | Sa2VA-8B | 52.1 | S1
video_mme | all | accuracy | Sa2VA-26B | 52.6 | S1
m4seg | test | M4SEG | Gemini 2.5 Pro, post-hoc | 30.21 15.25 24.69 15.51 68.51 45.21 18.89 | P
m4seg | test | M4SEG | GPT-4o, post-hoc | 25.47 12.19 21.59 15.76 68.62 50.55 21.56 | P
m4seg | test | M4SEG | Qwen3-VL-235B, post-hoc | 27.52 15.20 25.05 18.00 71.29 52.85 22.24 | P
m4seg | test | M4SEG | LISA, tuned | 37.21 21.36 39.34 33.31 73.32 63.86 25.47 | P
m4seg | test | M4SEG | GLaMM, tuned | 38.12 22.78 41.91 35.76 74.05 64.59 25.33 | P
m4seg | test | M4SEG | PRIMA | 46.23 30.61 54.24 51.62 80.50 75.84 25.70 | P
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One published number, in percent (VideoRefer-Bench-D: of 5)."""

    benchmark: str
    split: str
    figure: str
    system: str
    value: float
    source: str


def _read() -> Mapping[tuple[str, str], tuple[Figure, ...]]:
    found: dict[tuple[str, str], list[Figure]] = {}
    for line in TABLE.strip().splitlines():
        benchmark, splits, figures, system, values, source = (p.strip() for p in line.split("|"))
        figures = figures.replace("M4SEG", M4SEG)
        cells = [(split, figure) for split in splits.split() for figure in figures.split()]
        for (split, figure), value in zip(cells, values.split(), strict=True):
            one = Figure(
                benchmark=benchmark,
                split=split,
                figure=figure,
                system=system,
                value=float(value),
                source=", ".join(source.split()),
            )
            found.setdefault((benchmark, split), []).append(one)
    return {key: tuple(rows) for key, rows in found.items()}


PUBLISHED = _read()  # by data set and split
