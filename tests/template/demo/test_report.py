import numpy as np

from template.demo.report import Prediction, choose_shown, count_wrong, draw_contact_sheet

RED = (0xC0, 0, 0)


def predict(classes):
    return [
        Prediction(row=row, class_index=int(index), class_name=f"class {index}", score=0.5)
        for row, index in enumerate(classes)
    ]


def has_red(sheet):
    return bool((np.asarray(sheet) == RED).all(axis=2).any())


def test_the_sheet_marks_wrong_predictions_and_says_what_red_means():
    images = np.zeros((12, 28, 28), np.uint8)
    labels = np.zeros(12, np.uint8)
    right, wrong = predict(labels), predict(np.ones(12, np.uint8))

    assert not has_red(draw_contact_sheet(images, None, right, "12 images"))
    below_the_title = (0, 56, 1120, 56 + 2 * 162)
    for predictions, expected in ((right, False), (wrong, True)):
        sheet = draw_contact_sheet(images, labels, predictions, "12 images")
        assert sheet.size == (1120, 56 + 2 * 162)
        assert has_red(sheet.crop((0, 0, 1120, 56)))  # the legend
        assert has_red(sheet.crop(below_the_title)) is expected


def test_the_first_rows_are_shown_and_some_mistakes():
    labels = np.zeros(100, np.uint8)
    classes = labels.copy()
    classes[[50, 60, 70, 80, 90, 99]] = 1
    predictions = predict(classes)

    shown = [each.row for each in choose_shown(predictions, labels)]

    assert shown == [*range(35), 50, 60, 70, 80, 90]
    assert count_wrong(predictions, labels) == 6
    assert [each.row for each in choose_shown(predictions, None)] == list(range(40))
