"""What one question costs by the number of images: PRIMA and the multi-image baselines.

    python benchmarks/prima_cost.py [--tokens 128] [--out docs/prima]

Writes ``prima_cost.json`` beside this file, a table to stdout, and the picture of the growth.
"""

import argparse
import json
from math import prod
from pathlib import Path

from deixis.evaluation.costing.bill import STATIONS
from deixis.evaluation.costing.cost import count_operations

MODELS = {"prima": "#2a6fdb", "prima_v1": "#7a5cc4", "lisa": "#d98b1f", "glamm": "#c0392b"}
IMAGES = range(1, 10)
COUNTED = (1, 5, 9)
WIDTH, HEIGHT, LEFT, TOP = 640, 400, 60, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs/prima"))
    options = parser.parse_args()
    reports = [report for model in MODELS for report in all_images(model, options.tokens)]
    home = Path(__file__).with_suffix(".json")
    home.write_text(json.dumps({"stations": STATIONS, "reports": reports}, indent=1))
    totals = {(r["model"], r["images"]): r["total_tflops"] for r in reports}
    print(table(totals))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cost.svg").write_text(picture(totals))


def all_images(model: str, tokens: int) -> list[dict]:
    """Return the report of every number of images: counted at three, exact between them.

    Every station is a polynomial of degree two or less in the number of images: the prompt grows
    with it, and attention with the square of the prompt.
    """
    counted = {images: count_operations(model, images, tokens) for images in COUNTED}
    reports = []
    for images in IMAGES:
        shares = {
            a: prod((images - b) / (a - b) for b in COUNTED if b != a) for a in COUNTED
        }  # Lagrange
        stations = {
            name: sum(share * counted[a]["stations"][name] for a, share in shares.items())
            for name in STATIONS
        }
        total = sum(stations.values())
        told = {"images": images, "stations": stations, "total_tflops": total}
        reports.append({**counted[1], **told})
    return reports


def table(totals: dict[tuple[str, int], float]) -> str:
    """Return the totals as Markdown, one row per number of images."""
    lines = [f"| images | {' | '.join(MODELS)} | prima below glamm |", "|---" * 6 + "|"]
    for images in IMAGES:
        row = [totals[model, images] for model in MODELS]
        less = 1 - totals["prima", images] / totals["glamm", images]
        cells = " | ".join(f"{value:.1f}" for value in row)
        lines.append(f"| {images} | {cells} | {less:.1%} |")
    return "\n".join(lines)


def picture(totals: dict[tuple[str, int], float]) -> str:
    """Return the growth as SVG."""
    most = max(totals.values())

    def place(images: int, value: float) -> tuple[float, float]:
        across = (images - 1) / (len(IMAGES) - 1)
        return LEFT + across * (WIDTH - 150), TOP + (1 - value / most) * (HEIGHT - 70)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="{HEIGHT - 12}">images in one question (TFLOPs upwards)</text>',
    ]
    for images in IMAGES:
        x, y = place(images, 0)
        parts.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{images}</text>')
    for step in range(0, int(most) + 1, 25):
        x, y = place(1, step)
        parts.append(f'<text x="{x - 8:.0f}" y="{y + 4:.0f}" text-anchor="end">{step}</text>')
        end = place(IMAGES[-1], step)[0]
        parts.append(f'<path d="M{x:.0f} {y:.1f}H{end:.0f}" stroke="#dde" fill="none"/>')
    for model, colour in MODELS.items():
        points = [place(images, totals[model, images]) for images in IMAGES]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        x, y = points[-1]
        shift = -4 if model == "prima_v1" else 12 if model == "prima" else 4
        parts.append(
            f'<text x="{x + 8:.0f}" y="{y + shift:.0f}" fill="{colour}">{model}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
