"""Ours against the recorded outputs of the published code for answers, phrases and captions."""

from typing import Any

from metrics_clips import check_volumes
from recorded import File, Recorded

from deixis.metrics.sums import Tally
from deixis.metrics.words import choices, judged, phrases
from deixis.metrics.words.captions import Captions


def check_answers(file: File) -> None:
    check_letters(file)
    check_videorefer_q(file["videorefer_q"])
    check_videorefer_d(file["videorefer_d"])


def check_letters(file: File) -> None:
    columns = file["check_ans_columns"].fed()
    assert columns[0] == "n_options"
    for case in file["check_ans"]:
        options, answer, response = (case[i].fed() for i in range(3))
        one = choices.measure(response, answer, options)
        failed = one.failures()
        if isinstance(case[3].plain, str):  # the official code crashed
            assert case[3].fed().startswith("raises")
            assert failed == {"empty answer": 1}
        elif case[3].plain is None:
            case[3].fed()
            assert failed == {"no option named": 1}
        else:
            case[3].equals(bool(one.top("accuracy")))
            assert not failed
    assert all(len(columns) == len(case) for case in file["check_ans"])


def check_videorefer_q(part: Recorded) -> None:
    tallies: dict[str, Tally] = {}
    for sample in part["samples"]:
        assert sample["id"].fed() is not None
        kind = sample["type"].fed()
        one = choices.measure_videorefer(sample["pred"].fed(), sample["Answer"].fed(), kind)
        tallies[kind] = tallies.get(kind, Tally()) + one
    part["stdout"].equals(
        [line for kind, tally in tallies.items() for line in printed(f"  {kind}  ", tally)]
        + printed(" average ", sum(tallies.values(), Tally()))
    )
    for case in part["empty_predictions"]:
        response, answer = case[0].fed(), case[1].fed()
        failures = choices.measure_videorefer(response, answer).failures()
        assert (case[2].fed() == "raises") == (failures == {"empty answer": 1})


def printed(title: str, tally: Tally) -> list[str]:
    """Return what the official script prints about one kind."""
    right, count = int(tally.top("accuracy")), tally.bottom("accuracy")
    return [
        f"#######{title}#######",
        f"all num:  {count}",
        f"right num:  {right}",
        f"accuracy:  {right / count}",
    ]


def check_videorefer_d(part: Recorded) -> None:
    tally, extracted = Tally(), []
    for entry in part["inputs"]:
        number, judgement = entry["id"].fed(), entry["gpt"].fed()
        tally += judged.measure(judgement)
        if judgement is not None:
            extracted.append({"id": number, "gpt": judgement, **judged.scores_in(judgement)})
    part["extracted"].equals(extracted)
    ours = judged.result(tally)
    for aspect, figures in part["scores"].items():
        figures["score"].equals(ours[aspect])
        if "count" in figures:
            figures["count"].equals(tally.bottom(aspect))


def check_phrases(file: File) -> None:
    assert file["columns"].fed() == ["prediction", "target", "value or error"]
    for pair in file["pairs"]:
        predicted, true = pair[0].fed(), pair[1].fed()
        one = phrases.measure(predicted, true)
        if isinstance(pair[2].plain, str):
            assert pair[2].fed() == "raises ZeroDivisionError"
            assert one.failures() == {"both phrases empty": 1}
        else:
            pair[2].close(one.top("siou"), within=1e-12)


def check_pixelqa(file: File) -> None:
    check_volumes(file)
    tallies: dict[str, Tally] = {}
    complaints, crashed = [], Tally()
    for sample in file["samples"]:
        response, answer = sample["response"].fed(), sample["ans"].fed()
        options, task = sample["options"].fed(), sample["task"].fed()
        one = choices.measure(response, answer, len(options), task)
        if "empty answer" in one.failures():
            crashed += one
            continue
        letter = str(choices.unipixel_letter(response)).lower()
        if "no option named" in one.failures():
            complaints.append((response, letter))
        tallies[task] = tallies.get(task, Tally()) + one
    assert (file["eval_general_exit"].fed() != 0) == (crashed.samples > 0)
    crashes = [line for line in (file["eval_general_error"].fed() or []) if "IndexError" in line]
    assert bool(crashes) == (crashed.samples > 0)
    check_table(file["eval_general_without_empty_response_log"].fed(), tallies, complaints)


def check_table(
    lines: list[str], tallies: dict[str, Tally], complaints: list[tuple[str, str]]
) -> None:
    """Compare UniPixel's log: an error for each answer that names no option, then a table."""
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    assert errors == [f"{response} -> {letter}" for response, letter in complaints]
    warned = [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING")]
    assert set(warned) <= set(errors)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    whole = {**dict(sorted(tallies.items())), "all": sum(tallies.values(), Tally())}
    expected = [["Task", "#Samples", "Failed", "Acc"]]
    expected += [row(task, tally) for task, tally in whole.items()]
    assert sorted(rows) == sorted(expected)
    rest = [line for line in lines if line and line[0] not in "|+EW"]
    assert rest == ["Total number of files: 1"]


def row(task: str, tally: Tally) -> list[str]:
    failed = tally.failures().get("no option named", 0)
    share = 100 * tally.top("accuracy") / tally.bottom("accuracy")
    return [task, str(tally.bottom("accuracy")), str(failed), f"{share:.2f}"]


def check_captions(file: File) -> None:
    captions, predictions = Captions(), file["predictions"]
    names: dict[Any, list[str]] = {}
    for entry in file["caption_gt"]["annotations"].fed():
        names.setdefault(entry["image_id"], []).append(entry["caption"])
    images = {image["id"] for image in file["caption_gt"]["images"].fed()}
    assert images == set(names)
    for name, prediction in predictions.items():
        captions.add(name, names[name], prediction["caption"].fed())
    ours = captions.result()
    for name, figure in file["caption"].items():
        figure.close(ours[name], within=1e-6)


CHECKS = {
    "answers": check_answers,
    "semantic_siou": check_phrases,
    "pixelqa": check_pixelqa,
}
